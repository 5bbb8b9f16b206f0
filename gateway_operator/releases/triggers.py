"""Turns what happens in the cluster into work: which objects need a pass, and why.

The first word of a reason is the kind of the trigger (`passes.TRIGGERS`), for metrics; the rest is for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from prometheus_client import Gauge

from gateway_operator.releases.claims import Claims
from gateway_operator.releases.dependents import Dependents
from gateway_operator.releases.kinds import KindLogic
from gateway_operator.releases.objects import ObjectId
from gateway_operator.releases.queue import Key, WorkQueue
from gateway_operator.releases.reconciler import Reconciler
from gateway_operator.releases.records import ReleaseKey
from gateway_operator.releases.rows import Object, Row
from gateway_operator.telemetry import get_logger

CREATED = Gauge(
    "resource_created_at_seconds",
    "When a custom resource was made, in seconds since the epoch.",
    ["name", "namespace", "group", "version", "kind"],
)
_log = get_logger(__name__)


class Triggers:
    """Fills the work queue. Events that come before `start` are nothing lost: what they tell is in the views."""

    def __init__(self, kinds: Mapping[tuple[str, str], KindLogic]) -> None:
        self._kinds = kinds
        self._claims: Claims | None = None
        self._queue: WorkQueue | None = None
        self._reconciler: Reconciler | None = None
        self._dependents: Dependents | None = None

    def start(self, claims: Claims, queue: WorkQueue, reconciler: Reconciler, dependents: Dependents) -> None:
        """Send work from now on."""
        self._claims, self._queue, self._reconciler, self._dependents = claims, queue, reconciler, dependents

    def add(self, key: Key, reason: str) -> None:
        """Ask for a pass."""
        if self._queue:
            self._queue.add(key, reason)

    def all_of(self, row: Row, reason: str) -> None:
        """Ask for a pass over every object of a row, with earlier failures forgotten."""
        for namespace, name in row.store:
            key = Key(row.watch.key, namespace, name)
            if self._queue:
                self._queue.reset(key)
            self.add(key, reason)

    def on_row(self, row: Row, type_: str, obj: Object, previous: Object | None) -> None:
        """Take in an event of a custom resource; a new status alone is no work."""
        _count(row, type_, obj)
        meta = obj["metadata"]
        key = Key(row.watch.key, meta.get("namespace") or "", meta["name"])
        reason = why(type_, obj, previous)
        if self._queue is None or reason is None:
            return
        if previous is None or previous["metadata"].get("generation") != meta.get("generation"):
            self._queue.reset(key)
        self._queue.add(key, reason)
        if self._affects_peers(row, obj, previous):
            for namespace, name in row.store:
                if (namespace, name) != key[1:]:
                    self._queue.add(Key(row.watch.key, namespace, name), f"peer {key} {type_.lower()}")

    def _affects_peers(self, row: Row, obj: Object, previous: Object | None) -> bool:
        logic = self._kinds.get(row.watch.key)
        try:
            return logic is not None and any(logic.peers_affected(o) for o in (obj, previous) if o is not None)
        except Exception:  # noqa: BLE001 - then look at all of them
            _log.exception("a kind's rule failed", row=str(row.watch))
            return True

    def on_release(self, release: ReleaseKey) -> None:
        """Take in that one of Helm's records changed."""
        if self._claims and (key := self._claims.holder(release)):
            self.add(key, f"release record of {release[1]}")

    def on_dependent(self, release: ReleaseKey, found: ObjectId, may_have_drifted: bool) -> None:  # noqa: FBT001
        """Take in that an object of a release changed."""
        key = self._claims.holder(release) if self._claims else None
        if key is None or self._reconciler is None or self._dependents is None:
            return
        if may_have_drifted:
            self._reconciler.suspect(key, found)
        if may_have_drifted or self._dependents.is_full(found):
            self.add(key, f"dependent {found}")


def why(type_: str, obj: Object, previous: Object | None) -> str | None:
    """Say what of a custom resource changed that asks for a pass."""
    if type_ == "DELETED" or previous is None:
        return type_.lower()
    new, old = obj["metadata"], previous["metadata"]
    if new.get("uid") != old.get("uid"):
        return "added"
    if new.get("generation") != old.get("generation"):
        return f"generation {new.get('generation')}"
    if new.get("deletionTimestamp") != old.get("deletionTimestamp"):
        return "deletion"
    changed = [part for part in ("labels", "annotations", "finalizers") if new.get(part) != old.get(part)]
    return ", ".join(changed) or None


def _count(row: Row, type_: str, obj: Object) -> None:
    meta = obj["metadata"]
    labels = (meta["name"], meta.get("namespace") or "", row.watch.group, row.watch.version, row.watch.kind)
    if type_ != "DELETED":
        CREATED.labels(*labels).set(datetime.fromisoformat(meta["creationTimestamp"]).timestamp())
    else:
        CREATED.remove(*labels)


def uncount(row: Row) -> None:
    """Drop the series of a row that is no longer served."""
    for obj in row.store.values():
        _count(row, "DELETED", obj)
