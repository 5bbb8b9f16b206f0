"""When only a new process helps, and what a selector's strays are told."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from gateway_operator.releases.crd_policy import stored_versions_lost
from gateway_operator.releases.engine_health import stuck
from gateway_operator.releases.names import FINALIZER
from gateway_operator.releases.rows import Row
from gateway_operator.releases.selection import Selection
from gateway_operator.releases.watches import load_watches


@pytest.fixture
def row(tmp_path, chart):
    """A row with a selector that is served."""
    file = tmp_path / "watches.yaml"
    selector = "selector: {matchLabels: {a: b}}"
    file.write_text(f"- {{group: g.io, version: v1, kind: K, chart: {chart}, {selector}}}")
    found = Row(load_watches(file, {})[0], lambda *_: None)
    found.synced.set()
    return found


def streams(row, beat_age=0.0):
    return SimpleNamespace(beat_age=beat_age, rows={row.watch.key: row})


def test_a_live_engine_is_not_stuck(row):
    """Also before it has heard anything."""
    assert stuck(streams(row)) is None
    row.heard(200, watching=True)
    assert stuck(streams(row)) is None
    assert row.watching


def test_a_thread_that_stands_still_is(row):
    """Nothing can be heard any more."""
    assert "has not moved" in stuck(streams(row, beat_age=121))


def test_a_stream_that_is_silent_for_long_is(row):
    """A live one begins a new watch every two minutes; one that knows of its trouble is no case for a restart."""
    row.heard_at = time.monotonic() - 601
    assert "silent" in stuck(streams(row))
    row.synced.clear()
    assert stuck(streams(row)) is None


def test_refusals_are_heard(row):
    """403 to a watch is no word of life."""
    row.heard(403, watching=True)
    assert row.watching is False
    assert row.silence is None


@pytest.mark.parametrize(("minutes", "finalizers", "told"), [(10, [FINALIZER], 1), (1, [FINALIZER], 0), (10, ["x"], 0)])
def test_strays_are_told_about_after_a_while(row, minutes, finalizers, told):
    """Only what has waited long for a finalizer like ours; another operator may be at work on the rest."""
    since = (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    item = {"metadata": {"name": "a", "namespace": "ns", "deletionTimestamp": since, "finalizers": finalizers}}
    events = []
    recorder = SimpleNamespace(event=lambda _target, **more: events.append(more["reason"]))
    selection = Selection(None, api=None, streams=streams(row), claims=None, recorder=recorder)
    selection.on_stray(row, item)
    assert events == ["NotSelected"] * told


def test_versions_in_which_objects_are_stored_must_stay():
    """The API server would refuse it, too, but after other CRDs had been replaced."""
    wanted = {"spec": {"versions": [{"name": "v2"}]}}
    assert stored_versions_lost({"status": {"storedVersions": ["v1", "v2"]}}, wanted) == ["v1"]
    assert stored_versions_lost({}, wanted) == []
