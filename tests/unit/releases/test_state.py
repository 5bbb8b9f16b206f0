"""The table from record to state to action."""

from __future__ import annotations

import itertools

import pytest

from gateway_operator.releases.records import PENDING, ReleaseRecord
from gateway_operator.releases.state import ACTIONS, Action, Circumstances, Facts, State, Wanted, decide, observe

WANTED = Wanted("d1", "me", "demo")
GRACE = 360.0
STATUSES = (
    "deployed", "failed", "superseded", "unknown", "uninstalled", "uninstalling", *sorted(PENDING)
)  # fmt: skip


def record(status, *, digest="d1", owner="me", version=1, rolled=""):
    """A record of the release."""
    return ReleaseRecord("ns", "web", version, status, "s", digest, "h", owner, rolled_back_to=rolled)


def state(rec, *, chart=None, wanted=WANTED, **facts):
    """Observe, an hour after helm's last write."""
    return observe(rec, wanted, Facts(recorded_chart=chart, **{"age": 3600.0, "pending_grace": GRACE, **facts}))


@pytest.mark.parametrize(
    ("rec", "expected"),
    [
        (None, State.ABSENT),
        (record("uninstalled"), State.ABSENT),
        (record("deployed"), State.IN_SYNC),
        (record("deployed", digest="d2"), State.OUT_OF_SYNC),
        (record("deployed", digest=""), State.OUT_OF_SYNC),
        (record("deployed", owner="you"), State.FOREIGN),
        (record("failed"), State.FAILED),
        (record("superseded"), State.FAILED),
        (record("unknown"), State.PENDING_DEAD),
        (record("uninstalling"), State.UNINSTALLING),
        (record("pending-install"), State.PENDING_DEAD),
        (record("pending-upgrade"), State.PENDING_DEAD),
        (record("pending-rollback"), State.PENDING_DEAD),
    ],
)
def test_states(rec, expected):
    """Each status of Helm."""
    assert state(rec) is expected


def test_release_without_owner_is_ours_by_its_chart():
    """What a Helm operator or a person installed from the same chart is taken over."""
    assert state(record("deployed", owner=""), chart="demo") is State.IN_SYNC
    assert state(record("deployed", owner=""), chart="other") is State.FOREIGN
    assert state(record("deployed", owner=""), chart=None) is State.FOREIGN


def test_pending_revision_of_somebody_else_gets_time():
    """Somebody's own helm may be at work; after the grace it is dead. Ours is dead at once."""
    rec = record("pending-upgrade")
    assert state(rec, ours=False, age=10) is State.PENDING_ALIVE
    assert state(rec, ours=False, age=GRACE) is State.PENDING_DEAD
    assert state(rec, ours=True, age=0) is State.PENDING_DEAD


def test_uninstall_of_somebody_else_gets_a_moment():
    """Nothing in the record says whose it is."""
    assert state(record("uninstalling"), age=5) is State.PENDING_ALIVE


def test_revision_of_somebody_else_is_out_of_sync():
    """Helm copies our labels, the digest among them, onto revisions that others make."""
    assert state(record("deployed"), ours=False) is State.OUT_OF_SYNC


def test_objects_that_may_differ_are_drift():
    """Only where the release itself is right."""
    assert state(record("deployed"), drifted=True) is State.DRIFTED
    assert state(record("failed"), drifted=True) is State.FAILED


def test_change_taken_back_needs_no_revision():
    """The newest revision failed, and what is there equals the deployed one."""
    assert state(record("failed", digest="d2"), reverted=True) is State.IN_SYNC


def test_held_release():
    """It is right when it is the revision itself, or a copy of it that we made."""
    held = Wanted("d1", "me", "demo", 2)
    assert state(record("deployed", version=5), wanted=held) is State.OUT_OF_SYNC
    assert state(record("deployed", version=5, rolled="2"), wanted=held) is State.IN_SYNC
    assert state(record("deployed", version=5, rolled="2"), wanted=held, ours=False) is State.OUT_OF_SYNC
    assert state(record("deployed", version=2), wanted=held) is State.IN_SYNC


def test_every_combination_has_a_state_and_an_action():
    """No status, owner, digest, age or request falls through, and helm is never run on what isn't ours."""
    flags = [False, True]
    cases = itertools.product(STATUSES, ["me", "", "you"], ["d1", "d2"], flags, flags, flags, [0.0, 1e6], [None, 3])
    for status, owner, digest, ours, reverted, drifted, age, revision in cases:
        rec = record(status, owner=owner, digest=digest)
        wanted = Wanted("d1", "me", "demo", revision)
        facts = Facts(ours, "other" if owner == "" else None, age, GRACE, reverted, drifted)
        found = observe(rec, wanted, facts)
        for given in itertools.starmap(Circumstances, itertools.product(flags, repeat=4)):
            action = decide(found, wanted, given)
            assert isinstance(action, Action)
            if owner != "me" and status != "uninstalled":
                assert action is Action.REFUSE
            if given.held_back:
                assert action not in {Action.INSTALL, Action.ROLL_BACK}
            if revision is not None:
                assert action not in {Action.INSTALL, Action.UPGRADE}
    assert state(None) is State.ABSENT


@pytest.mark.parametrize(
    ("found", "given", "expected"),
    [
        (State.FAILED, Circumstances(), Action.UPGRADE),
        (State.FAILED, Circumstances(held_back=True), Action.BACK_OFF),
        (State.FAILED, Circumstances(held_back=True, can_return=True), Action.RETURN),
        (State.FAILED, Circumstances(held_back=True, can_remove=True), Action.UNINSTALL),
        (State.OUT_OF_SYNC, Circumstances(held_back=True, can_return=True), Action.BACK_OFF),
        (State.ABSENT, Circumstances(held_back=True, can_remove=True), Action.BACK_OFF),
        (State.UNINSTALLING, Circumstances(held_back=True), Action.BACK_OFF),
        (State.IN_SYNC, Circumstances(forced=True), Action.UPGRADE),
        (State.DRIFTED, Circumstances(forced=True), Action.UPGRADE),
        (State.FOREIGN, Circumstances(forced=True), Action.REFUSE),
        (State.PENDING_ALIVE, Circumstances(forced=True), Action.WAIT),
        (State.PENDING_DEAD, Circumstances(held_back=True), Action.UNLOCK),
    ],
)
def test_what_bends_the_table(found, given, expected):
    """Failures hold back what costs revisions, people can force what is right already."""
    assert decide(found, WANTED, given) is expected


def test_every_state_has_an_action():
    """No state falls through."""
    assert set(ACTIONS) == set(State)


def test_a_held_release_is_rolled_back_instead_of_upgraded():
    """Whatever state asks for a change."""
    held = Wanted("d1", "me", "demo", 2)
    for found in (State.FAILED, State.OUT_OF_SYNC, State.ABSENT):
        assert decide(found, held, Circumstances()) is Action.ROLL_BACK
    assert decide(State.IN_SYNC, held, Circumstances(forced=True)) is Action.NOTHING
    assert decide(State.UNINSTALLING, held, Circumstances()) is Action.UNINSTALL
