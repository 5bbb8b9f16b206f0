"""watches.yaml: every field, and every way to get it wrong."""

from __future__ import annotations

import pytest

from gateway_operator.errors import ConfigError
from gateway_operator.releases.watches import load_watches


@pytest.fixture
def watches_file(tmp_path, chart):
    """Write a watches.yaml beside the chart."""

    def write(text):
        file = tmp_path / "watches.yaml"
        file.write_text(text)
        return file

    return write


FULL = """
- group: example.com
  version: v1alpha1
  kind: Web
  chart: chart
  overrideValues:
    image.tag: ${TAG}
    replicas: "3"
    on: "true"
    text: '"true"'
    list: "{a,b}"
    plain: false
  watchDependentResources: false
  reconcilePeriod: 1m30s
  maxConcurrentReconciles: 2
  selector:
    matchLabels: {team: a}
    matchExpressions:
      - {key: env, operator: In, values: [prod, test]}
      - {key: skip, operator: DoesNotExist}
  dryRunOption: server
- version: v1
  kind: Other
  chart: ./chart
"""


def test_every_field_is_read(watches_file):
    """The Helm operator's format, typed."""
    web, other = load_watches(watches_file(FULL), env={"TAG": "1.2"})
    assert (web.group, web.version, web.kind, web.api_version) == (
        "example.com",
        "v1alpha1",
        "Web",
        "example.com/v1alpha1",
    )
    assert {o.text: o.value for o in web.overrides} == {
        "image.tag": "1.2",
        "replicas": 3,
        "True": True,  # YAML's own trap: `on` is a boolean
        "text": "true",
        "list": ["a", "b"],
        "plain": False,
    }
    assert web.watch_dependent_resources is False
    assert web.reconcile_period == 90.0
    assert web.max_concurrent_reconciles == 2
    assert web.selector == "team=a,env in (prod,test),!skip"
    assert web.dry_run_option == "server"
    assert (other.group, other.api_version, other.key) == ("", "v1", ("", "Other"))
    assert (other.watch_dependent_resources, other.reconcile_period, other.selector) == (True, None, "")


ROW = "- {group: g.io, version: v1, kind: K, chart: chart, %s}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "no valid YAML"),
        ("a: 1", "must be a list of rows"),
        ("- 3", "row 1: must be a map"),
        ("- {kind: K, chart: chart}", "row 1 (K): version: is missing"),
        ("- {version: v1, chart: chart}", "row 1: kind: is missing"),
        ("- {version: v1, kind: K}", "chart: is missing"),
        ("- {version: v1, kind: K, chart: nowhere}", "neither a directory nor a .tgz"),
        ("- {version: 1, kind: K, chart: chart}", "version: must be text, not 1"),
        ("- {version: one, kind: K, chart: chart}", "'one' is no version"),
        ("- {version: v1, kind: k-x, chart: chart}", "'k-x' is no kind"),
        (ROW % "reconcileperiod: 1m", "reconcileperiod: no such field; did you mean reconcilePeriod?"),
        (ROW % "nonsense: 1m", "nonsense: no such field; there are group"),
        (ROW % "reconcilePeriod: 1 minute", "is no duration"),
        (ROW % "reconcilePeriod: 5", "is no duration"),
        (ROW % "maxConcurrentReconciles: 0", "whole number from 1"),
        (ROW % "maxConcurrentReconciles: true", "whole number from 1"),
        (ROW % 'watchDependentResources: "yes"', "true or false"),
        (ROW % "dryRunOption: maybe", "none, client or server"),
        (ROW % "overrideValues: [1]", "must be a map"),
        (ROW % 'overrideValues: {"a..b": x}', "overrideValues.a..b"),
        (ROW % "overrideValues: {a: $NOT_SET}", "NOT_SET is not set"),
        (ROW % 'overrideValues: {a: "{{ .x }}"}', "overrideValues.a: the template '{{ .x }}' can't be evaluated"),
        (ROW % 'overrideValues: {a: "{{ env.NOT_SET }}"}', "has no attribute 'NOT_SET'"),
        (ROW % 'overrideValues: {a: "{{ ().__class__.__mro__ }}"}', "may not do this"),
        (ROW % "selector: {matchLabel: {a: b}}", "matchLabels and matchExpressions only"),
        (ROW % "selector: {matchLabels: {a: true}}", "True is no label value"),
        (ROW % "selector: {matchExpressions: [{key: a, operator: Has}]}", "operator must be"),
        (ROW % "selector: {matchExpressions: [{key: a, operator: In}]}", "needs values"),
        (
            ROW % "dryRunOption: none" + "\n" + ROW % "dryRunOption: none",
            "row 2 (K): kind: row 1 has this group and kind",
        ),
    ],
)
def test_mistakes_name_row_and_field(watches_file, text, expected):
    """The message is for the one who wrote the file."""
    file = watches_file(text)
    with pytest.raises(ConfigError) as caught:
        load_watches(file, env={})
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


def test_all_problems_are_told_at_once(watches_file):
    """Nobody wants to start five times to learn of five typos."""
    with pytest.raises(ConfigError) as caught:
        load_watches(watches_file("- {kind: K, chart: nowhere, x: 1}\n- {version: v1, kind: L, chart: chart, y: 2}"))
    assert len(str(caught.value).splitlines()) == 4


def test_empty_file_has_no_rows(watches_file):
    """An engine without rows is fine."""
    assert load_watches(watches_file("")) == ()


def test_unreadable_file(tmp_path):
    """The setting that names it is named."""
    with pytest.raises(ConfigError, match=r"gateway\.watchesPath"):
        load_watches(tmp_path / "none.yaml")
