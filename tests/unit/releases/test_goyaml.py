"""Scalars of YAML as Go reads them (goyaml v2, which Helm and kubectl use)."""

from __future__ import annotations

import pytest

from gateway_operator.releases.goyaml import load_all


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True),
        ("N", False),
        ("yes", True),
        ("off", False),
        ("yEs", "yEs"),
        ("~", None),
        ("null", None),
        ("12", 12),
        ("-3", -3),
        ("0755", 493),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("08", 8),
        ("1:30", "1:30"),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        ("1e+3", 1000),
        ("1.", "1."),
        ("2026-01-01", "2026-01-01"),
        ("=", "="),
        ('"y"', "y"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_scalars(text, value):
    """What differs from PyYAML, and what doesn't."""
    [document] = load_all(f"a: {text}")
    assert document["a"] == value
    assert type(document["a"]) is type(value)


def test_keys_are_text():
    """As in JSON: `n:` is "false" to Helm, whatever its author meant."""
    assert list(load_all("n: 1\n3: 2\nplain: {y: 1}")) == [{"false": 1, "3": 2, "plain": {"true": 1}}]


def test_anchors_and_merges():
    """Merge keys work."""
    assert list(load_all("a: &x {b: 1}\nc: {<<: *x, d: 2}")) == [{"a": {"b": 1}, "c": {"b": 1, "d": 2}}]
