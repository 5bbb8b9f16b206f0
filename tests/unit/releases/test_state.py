"""The table from record to state to action."""

from __future__ import annotations

import pytest

from gateway_operator.releases.records import ReleaseRecord
from gateway_operator.releases.state import ACTIONS, Action, State, Wanted, observe

WANTED = Wanted("d1", "me", "demo")
NOW = 1000.0


def record(status, *, digest="d1", owner="me", holder="h"):
    """A record of the release."""
    return ReleaseRecord("ns", "web", 1, status, "s", digest, holder, owner, 0.0)


def state(rec, *, chart=None, started=0.0):
    """Observe with a grace of 360 s."""
    return observe(rec, WANTED, recorded_chart=chart, now=NOW, started=started, pending_grace=360)


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


def test_pending_without_holder_gets_time():
    """Somebody's own helm may be at work; after the grace it is dead."""
    rec = record("pending-install", owner="", holder="")
    assert state(rec, chart="demo", started=NOW - 10) is State.PENDING_ALIVE
    assert state(rec, chart="demo", started=NOW - 400) is State.PENDING_DEAD


def test_every_state_has_an_action():
    """No state falls through."""
    assert set(ACTIONS) == set(State)
    assert set(ACTIONS.values()) == set(Action)
