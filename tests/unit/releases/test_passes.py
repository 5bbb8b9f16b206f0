"""The frame of a pass: the fence, the trigger's kind, and who counts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from gateway_operator.errors import LeaseLost
from gateway_operator.releases.passes import PASSES, Passes, note, trigger_of
from gateway_operator.releases.queue import Key

KEY = Key(("g", "Passed"), "ns", "a")


def row():
    """A row whose view is complete."""
    found = SimpleNamespace(synced=asyncio.Event())
    found.synced.set()
    return found


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("added", "added"),
        ("generation 3", "generation"),
        ("labels, annotations", "labels"),
        ("dependent Service ns/a", "dependent"),
        ("peer K ns/b deleted", "peer"),
        ("release record of a", "release"),
        ("watches.yaml: row K changed", "watches.yaml"),
        ("something new", "other"),
    ],
)
def test_kinds_of_triggers_are_few(reason, kind):
    """A metric's label has no names of objects in it."""
    assert trigger_of(reason) == kind


async def test_a_pass_is_counted_and_may_tell_what_it_does():
    """One count for each kind of trigger."""

    async def handle(_key, _reasons):
        note("helm upgrade")
        return 3.0

    before = PASSES.labels("Passed", "added")._value.get()
    passes = Passes(handle, {KEY.row: row()}, lambda: None)
    assert await passes(KEY, ("added", "added again")) == 3.0
    assert PASSES.labels("Passed", "added")._value.get() == before + 1


async def test_no_pass_without_the_lease():
    """The fence is asked first."""

    def fence():
        raise LeaseLost("gone")

    async def handle(_key, _reasons):
        raise AssertionError("must not run")

    with pytest.raises(LeaseLost):
        await Passes(handle, {KEY.row: row()}, fence)(KEY, ("added",))


async def test_no_pass_for_a_row_that_left():
    """What was queued for it is dropped."""

    async def handle(_key, _reasons):
        raise AssertionError("must not run")

    assert await Passes(handle, {}, lambda: None)(KEY, ("added",)) is None


async def test_objects_of_a_row_that_starts_wait_for_its_view():
    """They get no pass by half a view, and are named when it is complete."""
    seen = []

    async def handle(key, _reasons):
        seen.append(key)

    starting = row()
    starting.synced.clear()
    passes = Passes(handle, {KEY.row: starting}, lambda: None)
    assert await passes(KEY, ("added",)) is None
    assert await passes(KEY, ("labels",)) is None
    assert seen == []
    assert passes.synced(KEY.row) == [KEY]
    assert passes.synced(KEY.row) == []
