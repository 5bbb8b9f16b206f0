"""Drift in words, without secrets."""

from __future__ import annotations

import pytest

from gateway_operator.releases.diff import ABSENT, Change
from gateway_operator.releases.objects import ObjectId
from gateway_operator.releases.telling import Drift, tellable

FOUND = ObjectId("v1", "ConfigMap", "ns", "a")


def tell(obj, *changes):
    """The text about changes of one object."""
    return str(Drift(FOUND, "reverted", tellable(obj, obj, changes), ("kubectl-edit",)))


def test_a_change_is_told_with_its_values_and_who_made_it():
    """Object, pointer, old and new value, field manager."""
    text = tell({"kind": "ConfigMap"}, Change("/data/text", "mine", "hello"), Change("/data/x", "y", ABSENT))
    assert text == (
        'ConfigMap ns/a is put back: /data/text "mine" -> "hello", /data/x "y" -> (none) (changed by kubectl-edit)'
    )


def test_many_changes_and_long_values_are_cut():
    """An Event holds 1,024 characters."""
    text = tell({}, *(Change(f"/data/{n}", "x" * 5000, "y" * 5000) for n in range(9)))
    assert len(text) < 1024
    assert "/data/2" in text
    assert " and 6 more" in text
    assert "/data/3" not in text


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("obj", "change"),
    [
        ({"kind": "Secret"}, Change("/data/text", SECRET, SECRET)),
        ({"kind": "Secret"}, Change("/data", {"x": SECRET}, ABSENT)),
        ({"kind": "ConfigMap"}, Change("/data/DB_PASSWORD", SECRET, ABSENT)),
        ({"kind": "ConfigMap"}, Change("/data", {"api-key": SECRET}, {"apiKey": SECRET})),
        ({"env": [{"name": "AUTH_TOKEN", "value": SECRET}]}, Change("/env/0/value", SECRET, SECRET)),
        ({"env": [{}]}, Change("/env/0", {"name": "AUTH_TOKEN", "value": SECRET}, ABSENT)),
        ({"env": [{}]}, Change("/env", [{"name": "PASSWD", "value": SECRET}], [])),
        ({}, Change("/args", ["--client-secret=" + SECRET], [])),
        ({}, Change("/data/url", f"https://me:{SECRET}@example.com", ABSENT)),
        ({}, Change("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration", SECRET, ABSENT)),
        (
            {},
            Change("/metadata/annotations", {"kubectl.kubernetes.io/last-applied-configuration": SECRET}, ABSENT),
        ),
    ],
)
def test_secrets_are_never_told(obj, change):
    """Neither values of Secrets nor those of names that look like one."""
    text = tell(obj, change)
    assert SECRET not in text
    assert "***" in text


def test_names_of_secrets_are_no_secrets():
    """They help to understand."""
    text = tell(
        {}, Change("/spec/tls/0/secretName", "mine", "cert"), Change("/automountServiceAccountToken", True, False)
    )
    assert '"mine" -> "cert"' in text
    assert "true -> false" in text


def test_other_things_to_tell():
    """A restored object, a missing one, one that stays different."""
    assert str(Drift(FOUND, "restored")) == "ConfigMap ns/a was deleted and is made again"
    assert str(Drift(FOUND, "missing")) == "ConfigMap ns/a is missing"
    assert str(Drift(FOUND, "differs", (Change("/a", 1, 2),))) == "ConfigMap ns/a differs from its chart: /a 1 -> 2"
