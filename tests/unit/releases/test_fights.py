"""Repairs that somebody undoes again and again."""

from __future__ import annotations

import itertools

import pytest

from gateway_operator.releases import fights
from gateway_operator.releases.fights import ROUNDS, Fights
from gateway_operator.releases.objects import ObjectId

FOUND = ObjectId("v1", "ConfigMap", "ns", "a")


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [1000.0]
    monkeypatch.setattr(fights.time, "monotonic", lambda: now[0])
    return now


def test_pauses_grow_and_end(clock):
    """From two seconds to five minutes, for one field that is undone each time."""
    found = Fights()
    pauses = []
    for _ in range(ROUNDS + 11):
        pauses.append(found.note(FOUND, ["/data/text"]))
        assert found.left(FOUND) == pytest.approx(pauses[-1])
        clock[0] += pauses[-1] + 0.1
        assert found.left(FOUND) == 0
    assert pauses[:ROUNDS] == [0] * ROUNDS
    assert pauses[ROUNDS:] == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    clock[0] += 700
    assert found.note(FOUND, ["/data/text"]) == 0


def test_many_fields_are_no_fight(clock):
    """People who change one after the other are put right at once."""
    found = Fights()
    assert not any(found.note(FOUND, [f"/data/{n}"]) for n in range(100))
    assert found.left(FOUND) == 0


def test_memory_is_bounded(clock):
    """Thousands of repaired objects are forgotten again."""
    found = Fights()
    for n in itertools.islice(itertools.count(), 3000):
        found.note(ObjectId("v1", "ConfigMap", "ns", str(n)), [""])
    assert len(found._bouts) == 1000
