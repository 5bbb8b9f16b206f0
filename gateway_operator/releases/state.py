"""From what Helm recorded and what is wanted to what to do next: one pure table.

ABSENT        no record, or an uninstalled one                      -> INSTALL
FOREIGN       another resource's or somebody's release              -> REFUSE
PENDING_ALIVE somebody's helm may be at work, or was a moment ago   -> WAIT
PENDING_DEAD  a helm run ended without a result, or with `unknown`  -> UNLOCK, then look again
UNINSTALLING  an uninstall ended midway                             -> UNINSTALL, then look again
FAILED        the newest revision is no deployed one                -> UPGRADE
OUT_OF_SYNC   deployed, but by somebody else or from other inputs   -> UPGRADE
DRIFTED       deployed from these inputs; objects may differ        -> REPAIR
IN_SYNC       deployed from these inputs                            -> NOTHING

`decide` bends the table where people or earlier failures ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway_operator.releases.records import ReleaseRecord

_ENDED = frozenset({"deployed", "failed", "superseded"})  # what an upgrade can start from
UNINSTALL_GRACE = 15.0  # seconds in which somebody's uninstall usually ends


class State(Enum):
    """How a release relates to what is wanted."""

    ABSENT = "Absent"
    FOREIGN = "Foreign"
    PENDING_DEAD = "PendingDead"
    PENDING_ALIVE = "PendingAlive"
    UNINSTALLING = "Uninstalling"
    FAILED = "Failed"
    OUT_OF_SYNC = "OutOfSync"
    DRIFTED = "Drifted"
    IN_SYNC = "InSync"


class Action(Enum):
    """What the reconciler does about a state."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    ROLL_BACK = "roll back"  # to the revision that the resource asks for
    RETURN = "return"  # to the last deployed revision, after a failed upgrade
    UNLOCK = "unlock"
    UNINSTALL = "uninstall"
    REPAIR = "repair"
    WAIT = "wait"
    BACK_OFF = "back off"
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
    State.DRIFTED: Action.REPAIR,
    State.IN_SYNC: Action.NOTHING,
}


@dataclass(frozen=True)
class Wanted:
    """What the release should be; `revision` asks for an old one instead of the inputs of `digest`."""

    digest: str
    owner: str
    chart_name: str
    revision: int | None = None


@dataclass(frozen=True)
class Facts:
    """What is known beside the newest record."""

    ours: bool = True  # the newest record was made by this operator
    recorded_chart: str | None = None  # the chart's name in the payload, needed for a record without our owner label
    age: float = 0.0  # seconds since helm wrote the newest record
    pending_grace: float = 0.0  # seconds that somebody's own helm gets
    reverted: bool = False  # the newest revision failed, but what is there equals the deployed one, which is wanted
    drifted: bool = False  # objects wait for a comparison


@dataclass(frozen=True)
class Circumstances:
    """What bends the table."""

    held_back: bool = False  # the same inputs failed, and their next try isn't due
    can_return: bool = False  # a deployed revision is there, and no return to it has failed
    can_remove: bool = False  # nothing was ever deployed, and what the failed install left is still there
    forced: bool = False  # an upgrade is asked for although nothing changed


def observe(newest: ReleaseRecord | None, wanted: Wanted, facts: Facts) -> State:
    """Name the state of a release.

    A pending record of ours was left by an operator: helm dies with its operator and only the leader asks here, so its
    holder is gone. Another one is somebody's own helm, which gets `pending_grace` seconds since its last write.
    """
    if newest is None or newest.status == "uninstalled":
        return State.ABSENT
    if newest.owner != wanted.owner and (newest.owner or facts.recorded_chart != wanted.chart_name):
        return State.FOREIGN
    if newest.status == "uninstalling":
        return State.PENDING_ALIVE if facts.age < UNINSTALL_GRACE else State.UNINSTALLING
    if newest.status not in _ENDED:
        return State.PENDING_ALIVE if not facts.ours and facts.age < facts.pending_grace else State.PENDING_DEAD
    return _settled(newest, wanted, facts)


def _settled(newest: ReleaseRecord, wanted: Wanted, facts: Facts) -> State:
    """Name the state where no helm is at work."""
    if newest.status != "deployed" and not facts.reverted:
        return State.FAILED
    if not facts.reverted and not _is_wanted(newest, wanted, ours=facts.ours):
        return State.OUT_OF_SYNC
    return State.DRIFTED if facts.drifted else State.IN_SYNC


def _is_wanted(newest: ReleaseRecord, wanted: Wanted, *, ours: bool) -> bool:
    if wanted.revision is not None:
        return newest.version == wanted.revision or (ours and newest.rolled_back_to == str(wanted.revision))
    return ours and newest.digest == wanted.digest


def decide(state: State, wanted: Wanted, given: Circumstances) -> Action:
    """Return what to do in a state."""
    action = ACTIONS[state]
    if given.forced and wanted.revision is None and action in {Action.REPAIR, Action.NOTHING}:
        return Action.UPGRADE
    if action not in {Action.INSTALL, Action.UPGRADE, Action.UNINSTALL}:
        return action
    if not given.held_back:
        replaced = wanted.revision is not None and action is not Action.UNINSTALL
        return Action.ROLL_BACK if replaced else action
    if state is State.FAILED and given.can_return:
        return Action.RETURN
    if state is State.FAILED and given.can_remove:
        return Action.UNINSTALL
    return Action.BACK_OFF


def taken(newest: ReleaseRecord | None, release: tuple[str, str]) -> str:
    """Return the sentence for a release (namespace, name) in the state FOREIGN."""
    owner = f" of {newest.owner}" if newest and newest.owner else ", of another chart"
    return (
        f"there is a Helm release {release[1]} in {release[0]} already{owner}: uninstall it, or give this object "
        "another name"
    )
