"""The pure parts of the release engine's benchmark."""

from __future__ import annotations

from bench.engine import ORDER, changes, run
from bench.engine.kills import judge
from bench.engine.operators import metric_sum
from bench.engine.soak import blocks
from bench.engine.world import is_true, site_names

METRICS = """# HELP workqueue_depth x
workqueue_depth{name="a"} 2
workqueue_depth{name="b"} 3.0
workqueue_depth_total{name="b"} 9
up 1
"""


def test_samples_of_a_metric_are_summed():
    """Only the metric of that very name counts."""
    assert metric_sum(METRICS, "workqueue_depth") == 5
    assert metric_sum(METRICS, "up") == 1
    assert metric_sum(METRICS, "down") == 0


def test_blocks_keep_the_least_of_each_span():
    """Peaks within a span don't count, nor does what lies outside."""
    samples = [(0.0, 1.0), (10.0, 9.0), (11.0, 5.0), (20.0, 7.0), (30.0, 2.0)]
    assert blocks(samples, 10, 30, 2) == [(15, 5), (25, 7)]


def test_every_part_can_be_run():
    """The order names just the parts that there are, and each runs once."""
    assert set(run.PARTS) == set(ORDER)
    assert sorted(part for group in run.groups(ORDER) for part in group) == sorted(ORDER)
    assert run.groups(["soak", "install", "kills"]) == [["install"], ["kills", "soak"]]


def test_a_repair_is_seen_after_the_damage_only():
    """The object as it was before it was spoilt is no repair."""
    fine = {"metadata": {"labels": {"a": "b"}}}
    spoilt = {"metadata": {"labels": {"stray": "yes"}}}
    looks = changes.ADDED.repaired()
    assert [looks(o) for o in (fine, spoilt, fine)] == [False, False, True]
    looks = changes.DELETED.repaired()
    assert [looks(o) for o in (fine, None, fine)] == [False, False, True]


def test_kills_are_judged_by_the_worst():
    """One that never came back misses the mark; each phase is counted where helm was at work."""
    good = {"seconds": 2.0, "wrong": [], "helm_died": True, "helm_alive": True, "phase": "install"}
    never = {**good, "seconds": None, "wrong": ["x"], "helm_alive": False, "phase": "upgrade"}
    assert [r.ours for r in judge([good])] == [2, 0, 0, 1, 0, 0]
    found = list(judge([good, never]))
    assert (found[0].ours, found[0].holds, found[1].ours) == (None, False, 1)


def test_names_and_conditions():
    """Sites are numbered from zero; a condition counts when it is True."""
    assert site_names(2, "x") == ["x-0000", "x-0001"]
    assert is_true({"status": {"conditions": [{"type": "Deployed", "status": "True"}]}}, "Deployed")
    assert not is_true({}, "Deployed")
