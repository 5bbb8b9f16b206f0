"""Every annotation and every ConfigMap key that is honoured is asked of nginx by a test, in both renderers."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_operator.crds.config_keys import KEYS
from gateway_operator.ingress.annotation_rows import Support
from gateway_operator.ingress.annotation_table import TABLE
from tests.nginx.asked import asked

ASKED = asked(Path(__file__).parent)
NAMES = [name for row in TABLE if row.support is not Support.UNSUPPORTED for name in (row.name, *row.aliases)]
# about the status of Ingresses, which nginx never sees: tests/apiserver/test_ingress_controller.py
ELSEWHERE = {"status-excluded-namespaces"}


@pytest.mark.parametrize("name", NAMES)
def test_annotations(name: str) -> None:
    """An Ingress of a test has it, under each of its names."""
    assert name in ASKED.annotations


@pytest.mark.parametrize("name", [key for key, found in KEYS.items() if found.honoured and key not in ELSEWHERE])
def test_config_keys(name: str) -> None:
    """A test's ConfigMap has it; what only an annotation of that name does isn't enough."""
    assert name in ASKED.keys


def test_names_are_told_apart() -> None:
    """What is only mentioned doesn't count: no test asks for a snippet."""
    assert not {name for name in ASKED.annotations | ASKED.keys if name.endswith("-snippet")}
    assert "auth-url" not in ASKED.keys
