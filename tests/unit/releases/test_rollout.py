"""Waves: who is next, what stops them, and what lets them go on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.releases.queue import Key
from gateway_operator.releases.rollout import Member, Phase, Rollout, wave_size

WAVES = ("1", "10%", "50%")


def key(number: int) -> Key:
    return Key(("g", "K"), "ns", f"o{number:03}")


def rollout(count: int, waves: tuple[str, ...] = WAVES, **more: object) -> Rollout:
    return Rollout("web-1", [Member(key(n), None, **more) for n in range(count)], waves)


@pytest.mark.parametrize(
    ("number", "total", "size"), [(0, 100, 1), (1, 100, 10), (2, 100, 50), (9, 100, 50), (1, 3, 1), (2, 3, 2)]
)
def test_sizes(number: int, total: int, size: int) -> None:
    """One, a tenth, then half at a time; never none."""
    assert wave_size(WAVES, number, total) == size


def test_waves_follow_each_other_when_all_are_deployed_and_ready() -> None:
    """Nobody of the next wave goes before the last one of this wave is through."""
    found = rollout(20)
    assert found.advance() == [key(0)]
    assert found.advance() == []
    found.report(key(0), current=True, ready=False, failed=False)
    assert found.advance() == []
    found.report(key(0), current=True, ready=True, failed=False)
    second = found.advance()
    assert second == [key(1), key(2)]
    assert found.held(key(3)) is not None
    for one in second:
        found.report(one, current=True, ready=True, failed=False)
    assert len(found.advance()) == 10


def test_one_that_was_not_ready_before_needs_not_be_ready_after() -> None:
    """A gateway that was down already must not hold the others for ever."""
    found = rollout(2, was_ready=False)
    found.advance()
    found.report(key(0), current=True, ready=False, failed=False)
    assert found.advance() == [key(1)]


def test_a_failure_stops_and_its_cure_resumes() -> None:
    """The rest keep what they have until the failed one is deployed."""
    found = rollout(3)
    found.advance()
    found.report(key(0), current=False, ready=False, failed=True)
    assert found.stopped_by == key(0)
    assert found.advance() == []
    found.report(key(0), current=True, ready=True, failed=False)
    assert found.stopped_by is None
    assert found.advance() == [key(1)]


def test_a_failed_one_that_is_gone_holds_nobody() -> None:
    """Deleting what is broken is a way on."""
    found = rollout(2)
    found.advance()
    found.report(key(0), current=False, ready=False, failed=True)
    found.forget(key(0))
    assert found.advance() == [key(1)]


def test_who_failed_before_comes_first() -> None:
    """A chart that was made to mend an object is tried on that one."""
    members = [Member(key(0), None), Member(key(1), None, had_failed=True)]
    assert Rollout("web-2", members, WAVES).advance() == [key(1)]


def test_reports_of_those_who_wait_count_for_nothing() -> None:
    """Their passes speak of the old chart."""
    found = rollout(2)
    found.advance()
    found.report(key(1), current=True, ready=True, failed=True)
    assert found.held(key(1)) is not None
    assert found.stopped_by is None


def test_one_that_is_freed_needs_no_wave() -> None:
    """As with an object whose own spec changed."""
    found = rollout(3)
    found.advance()
    found.free(key(2))
    assert found.held(key(2)) is None


@given(st.integers(0, 60), st.lists(st.sampled_from(["1", "7", "10%", "33%", "100%"]), min_size=1, max_size=3))
def test_every_rollout_without_failures_ends(count: int, waves: list[str]) -> None:
    """Each object is upgraded once, in some wave."""
    found, seen = rollout(count, tuple(waves)), []
    while not found.finished:
        wave = found.advance()
        assert wave
        for one in wave:
            found.report(one, current=True, ready=True, failed=False)
        seen += wave
    assert seen == [key(n) for n in range(count)]
    assert found.count().get(Phase.DONE, 0) == count
