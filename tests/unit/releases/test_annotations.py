"""Annotations of custom resources."""

from __future__ import annotations

import pytest

from gateway_operator.releases.annotations import OURS, PEERS, Requests, parse_bool, parse_requests
from gateway_operator.releases.drift_rules import DriftPolicy

BOOLEANS = (
    "upgrade-force",
    "rollback-force",
    "uninstall-wait",
    "install-disable-hooks",
    "upgrade-disable-hooks",
    "uninstall-disable-hooks",
    "paused",
    "force-release",
)


@pytest.mark.parametrize("prefix", [OURS, PEERS])
@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((word, True) for word in ("true", "TRUE", "True", "t", "T", "1")),
        *((word, False) for word in ("false", "FALSE", "False", "f", "F", "0", "")),
        (None, False),
        ("yes", None),
        ("tRUE", None),
        (" true", None),
        ("2", None),
    ],
)
def test_booleans(prefix, name, text, expected):
    """As Go's ParseBool; what it would refuse is the default, and said."""
    found = parse_requests({} if text is None else {f"{prefix}{name}": text})
    assert getattr(found, name.replace("-", "_")) is bool(expected)
    assert bool(found.notices) is (expected is None)
    for notice in found.notices:
        assert f"{prefix}{name}" in notice.message


def test_defaults():
    """No annotations ask for nothing."""
    assert parse_requests(None) == parse_requests({}) == parse_requests({"other/name": "x"}) == Requests()


@pytest.mark.parametrize("prefix", [OURS, PEERS])
@pytest.mark.parametrize(
    ("text", "expected"),
    [("10m", 600.0), ("1h30m", 5400.0), ("0", 0.0), ("0s", 0.0), ("", None), ("5", None), ("-1s", None), ("x", None)],
)
def test_period(prefix, text, expected):
    """A Go duration; 0 turns periodic passes off."""
    found = parse_requests({f"{prefix}reconcile-period": text})
    assert found.reconcile_period == expected
    assert bool(found.notices) is (expected is None and text != "")


@pytest.mark.parametrize(
    ("annotation", "row", "expected"),
    [
        (None, None, 60.0),
        (None, 30.0, 30.0),
        (None, 0.0, 0.0),
        ("5s", None, 5.0),
        ("5s", 30.0, 5.0),
        ("0", 30.0, 0.0),
        ("bad", 30.0, 30.0),
    ],
)
def test_precedence_of_periods(annotation, row, expected):
    """The annotation wins over the row, the row over the operator's."""
    found = parse_requests({f"{OURS}reconcile-period": annotation} if annotation else {})
    assert found.period(row, 60.0) == expected


def test_ours_wins():
    """Where both prefixes are set."""
    assert not parse_requests({f"{OURS}upgrade-force": "false", f"{PEERS}upgrade-force": "true"}).upgrade_force


@pytest.mark.parametrize("verb", ["install", "upgrade", "uninstall"])
def test_descriptions(verb):
    """Cut to what Helm takes."""
    found = parse_requests({f"{PEERS}{verb}-description": "x" * 300})
    assert getattr(found, f"{verb}_description") == "x" * 256


@pytest.mark.parametrize(("text", "expected"), [("3", 3), ("0", None), ("-1", None), ("three", None), ("", None)])
def test_rollback_to(text, expected):
    """A revision's number."""
    found = parse_requests({f"{OURS}rollback-to": text})
    assert found.rollback_to == expected
    assert bool(found.notices) is (expected is None and text != "")


def test_drift_policy():
    """As in watches.yaml."""
    assert parse_requests({f"{OURS}drift-policy": "Warn "}).drift_policy is DriftPolicy.WARN
    assert parse_requests({f"{OURS}drift-policy": "no"}).drift_policy is None
    assert parse_requests({f"{OURS}drift-policy": "no"}).notices


def test_tokens():
    """Any text."""
    found = parse_requests({f"{OURS}{verb}-at": verb for verb in ("reconcile", "reset", "force")})
    assert (found.reconcile_at, found.reset_at, found.force_at) == ("reconcile", "reset", "force")


def test_parse_bool_refuses_the_rest():
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="neither true nor false"):
        parse_bool("on")
