"""Policies and ignore rules."""

from __future__ import annotations

import pytest

from gateway_operator.releases.drift_rules import DriftPolicy, IgnoreRule, Terms, parse_ignore_rules, parse_policy
from managed import managed

REVERT, WARN, IGNORE = DriftPolicy.REVERT, DriftPolicy.WARN, DriftPolicy.IGNORE


def annotated(policy):
    """An object that asks for a policy."""
    return managed({"metadata": {"annotations": {"gateway.kubesphere.io/drift-policy": policy}}})


@pytest.mark.parametrize(
    ("release", "chart", "live", "expected"),
    [
        (REVERT, None, None, REVERT),
        (WARN, None, None, WARN),
        (REVERT, "warn", None, WARN),
        (REVERT, "warn", "ignore", IGNORE),
        (IGNORE, None, "revert", REVERT),
        (WARN, None, "nonsense", WARN),
        (REVERT, None, " Warn ", WARN),
    ],
)
def test_the_nearest_policy_wins(release, chart, live, expected):
    """The live object's, its chart's, then the release's; what can't be read is passed over."""
    wanted = annotated(chart) if chart else managed({})
    seen = annotated(live) if live else None
    assert Terms(release).policy_for(wanted, seen) is expected


def test_a_rule_without_paths_leaves_the_whole_object_alone():
    """If its target is the object."""
    rule = IgnoreRule(kind="ConfigMap", group="", namespace="ns", name="a")
    assert Terms(REVERT, (rule,)).policy_for(managed({}), None) is IGNORE
    assert Terms(REVERT, (rule,)).policy_for(managed({"kind": "Secret"}), None) is REVERT
    assert Terms(REVERT, (IgnoreRule(group="apps"),)).policy_for(managed({}), None) is REVERT


def test_rules_are_read():
    """Target, paths, managers."""
    rules = parse_ignore_rules([{"target": {"kind": "Service"}, "paths": ["/spec/type"]}, {"managers": ["tool-*"]}])
    assert rules == (IgnoreRule(paths=("/spec/type",), kind="Service"), IgnoreRule(managers=("tool-*",)))


@pytest.mark.parametrize(
    "value",
    [{}, [1], [{}], [{"target": {"x": "y"}}], [{"target": {"kind": 1}}], [{"paths": ["spec"]}], [{"managers": "x"}],
     [{"paths": ["/a"], "managers": ["x"]}], [{"what": 1}]],
)  # fmt: skip
def test_mistakes_in_rules_are_named(value):
    """With the entry."""
    with pytest.raises(ValueError, match="must|has|make"):
        parse_ignore_rules(value)


def test_policies_are_read():
    """Three words."""
    assert parse_policy("warn") is WARN
    with pytest.raises(ValueError, match="revert, warn, ignore"):
        parse_policy("fix")
