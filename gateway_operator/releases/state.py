"""From what Helm recorded and what is wanted to what to do next: one pure table.

ABSENT        no record                                        -> INSTALL
FOREIGN       another resource's or somebody's release         -> REFUSE
PENDING_DEAD  a helm run ended without a result                -> UNLOCK, then upgrade
PENDING_ALIVE somebody's helm may still be at work             -> WAIT
UNINSTALLING  an uninstall ended midway                        -> UNINSTALL, then install
FAILED        the last run failed                              -> UPGRADE (the caller spaces its attempts)
OUT_OF_SYNC   deployed, but from other inputs                  -> UPGRADE
IN_SYNC       deployed from these inputs                       -> NOTHING
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway_operator.releases.records import PENDING, ReleaseRecord


class State(Enum):
    """How a release relates to what is wanted."""

    ABSENT = "Absent"
    FOREIGN = "Foreign"
    PENDING_DEAD = "PendingDead"
    PENDING_ALIVE = "PendingAlive"
    UNINSTALLING = "Uninstalling"
    FAILED = "Failed"
    OUT_OF_SYNC = "OutOfSync"
    IN_SYNC = "InSync"


class Action(Enum):
    """What the reconciler does about a state."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    UNLOCK = "unlock"
    UNINSTALL = "uninstall"
    WAIT = "wait"
    REFUSE = "refuse"
    NOTHING = "nothing"


ACTIONS: dict[State, Action] = {
    State.ABSENT: Action.INSTALL,
    State.FOREIGN: Action.REFUSE,
    State.PENDING_DEAD: Action.UNLOCK,
    State.PENDING_ALIVE: Action.WAIT,
    State.UNINSTALLING: Action.UNINSTALL,
    State.FAILED: Action.UPGRADE,
    State.OUT_OF_SYNC: Action.UPGRADE,
    State.IN_SYNC: Action.NOTHING,
}


@dataclass(frozen=True)
class Wanted:
    """What the release should be."""

    digest: str
    owner: str
    chart_name: str


def observe(
    newest: ReleaseRecord | None,
    wanted: Wanted,
    *,
    recorded_chart: str | None,
    now: float,
    started: float,
    pending_grace: float,
) -> State:
    """Name the state of a release.

    `recorded_chart` is the chart's name in the payload, needed only for a record without our owner label; `started`
    is when its run began.
    A pending record with a holder was left by an operator: helm dies with its operator and only the leader asks here,
    so its holder is gone. One without a holder is somebody's own helm, which gets `pending_grace` seconds.
    """
    if newest is None or newest.status == "uninstalled":
        return State.ABSENT
    if newest.owner != wanted.owner and (newest.owner or recorded_chart != wanted.chart_name):
        return State.FOREIGN
    if newest.status in PENDING:
        alive = not newest.holder and now - started < pending_grace
        return State.PENDING_ALIVE if alive else State.PENDING_DEAD
    if newest.status == "uninstalling":
        return State.UNINSTALLING
    if newest.status != "deployed":
        return State.FAILED
    return State.IN_SYNC if newest.digest == wanted.digest else State.OUT_OF_SYNC
