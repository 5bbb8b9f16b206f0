"""The catalogue of providers: what is wrong in it is left out and named, and the rest holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway_operator.web.providers import Providers, read

GOOD = "- {name: good, title: Good, annotations: [{key: lb.example.com/pool, values: [a, b]}]}\n"


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("- {name: Bad Name, title: T}", "name"),
        ("- {name: bad}", "title"),
        ("- {name: bad, title: T, serviceType: Pigeon}", "serviceType"),
        ("- {name: bad, title: T, annotations: [{key: 'a b'}]}", "annotations.0.key"),
        ("- {name: bad, title: T, annotations: {key: value}}", "annotations"),
        ("- {name: bad, title: T, inject: true}", "inject"),
        ("- {name: bad, title: T, documentation: 'javascript:x'}", "documentation"),
        ("- 7", "the entry"),
        ("- {name: good, title: Again}", "name"),
    ],
)
def test_a_broken_entry_is_left_out_and_named(entry: str, problem: str) -> None:
    """One wrong entry takes no other away, and the field that is wrong is told."""
    found = read(GOOD + entry)
    assert [one.name for one in found.items] == ["good"]
    (broken,) = found.leftOut
    assert broken.index == 1
    assert broken.problem.startswith(f"{problem}:")


@pytest.mark.parametrize("text", ["{name: good}", "- {name: [", "text", "[&a a, *b]"])
def test_what_is_no_list_is_an_empty_catalogue_that_says_so(text: str) -> None:
    """No text makes it fail."""
    found = read(text)
    assert not found.items
    assert found.leftOut[0].index == -1


def test_an_empty_catalogue_has_no_problem() -> None:
    """An administrator may want none."""
    assert read("") == read("[]") == Providers(None).catalogue()


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """As the kubelet changes it: another file takes its place; one that is gone is told."""
    file = tmp_path / "providers.yaml"
    file.write_text(GOOD)
    providers = Providers(file)
    assert providers.catalogue() is providers.catalogue()
    (tmp_path / "next").write_text(GOOD + "- {name: more, title: More}\n")
    os.replace(tmp_path / "next", file)  # noqa: PTH105
    assert [one.name for one in providers.catalogue().items] == ["good", "more"]
    file.unlink()
    assert providers.catalogue().leftOut[0].index == -1
