"""Runs rollouts: finds who takes part when a row changes, tells passes what to use, and watches how it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from prometheus_client import Gauge

from gateway_operator.crds.conditions import is_true
from gateway_operator.gateways.verdicts import Notice
from gateway_operator.kube import EventRecorder
from gateway_operator.releases.annotations import parse_requests
from gateway_operator.releases.queue import Key
from gateway_operator.releases.records import ReleaseRecord
from gateway_operator.releases.rollout import Member, Phase, Rollout
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.status import Outcome
from gateway_operator.releases.watches import Watch
from gateway_operator.telemetry import get_logger

ROLLOUT = Gauge("gateway_operator_rollout_objects", "Objects of a rollout, by how far they are.", ["kind", "phase"])
Enqueue = Callable[[Key, str], None]
RecordOf = Callable[[Key], ReleaseRecord | None]
_log = get_logger(__name__)


class Rollouts:
    """The rollouts of all rows. `record_of` returns the deployed record of an object's release."""

    def __init__(
        self, *, waves: tuple[str, ...], enqueue: Enqueue, record_of: RecordOf, recorder: EventRecorder
    ) -> None:
        self._waves = waves
        self._enqueue = enqueue
        self._record_of = record_of
        self._recorder = recorder
        self._active: dict[tuple[str, str], Rollout] = {}
        self._targets: dict[tuple[str, str], tuple[object, ...]] = {}
        self._stopped: dict[tuple[str, str], Key] = {}
        self._started: set[tuple[str, str]] = set()

    def first_seen(self, row: Row) -> None:
        """Look at a row's objects when they are first known: some may have an older chart from before the start."""
        if row.watch.key in self._started:
            return
        self._started.add(row.watch.key)
        chart = row.watch.chart.short_digest
        members = []
        for key, obj in _objects(row):
            record = self._record_of(key)
            if record and record.chart and record.chart != chart and not _changed_itself(obj):
                members.append(_member(key, obj, None))
        self._begin(row, members)

    def changed(self, row: Row, old: Watch, new: Watch) -> None:
        """Begin the rollout of a row's new chart or overrides; objects that wait already keep what they have."""
        active = self._active.pop(row.watch.key, None)
        members = []
        for key, obj in _objects(row):
            waiting = active.held(key) if active else None
            before = waiting.before if waiting else old
            record = self._record_of(key)
            if record is None:
                continue
            same = record.chart == new.chart.short_digest if before is None else inputs(before) == inputs(new)
            if not same:
                members.append(_member(key, obj, before))
        self._begin(row, members)

    def _begin(self, row: Row, members: Iterable[Member]) -> None:
        rollout = Rollout(row.watch.chart.label, members, self._waves)
        self._stopped.pop(row.watch.key, None)
        if rollout.finished:
            self._count(row, None)
            return
        self._active[row.watch.key] = rollout
        self._targets[row.watch.key] = inputs(row.watch)
        _log.info("rollout begins", row=str(row.watch), chart=rollout.chart, objects=rollout.count().total())
        self._advance(row, rollout)

    def ended(self, row: Row) -> None:
        """Forget a row that is no longer served."""
        self._active.pop(row.watch.key, None)
        self._started.discard(row.watch.key)
        self._count(row, None)

    def view(self, key: Key, row: Row) -> Row:
        """Return the row as a pass over `key` is to use it: as it is now, or as it was for one who waits."""
        rollout = self._active.get(key.row)
        member = rollout.held(key) if rollout else None
        obj = row.store.get((key.namespace, key.name))
        if rollout is None or member is None or obj is None:
            return row.view(row.watch)
        if parse_requests(obj["metadata"].get("annotations")).rollback_to is not None:
            return row.view(row.watch)  # it asks for a revision, not for a chart
        if _is_forced(obj) or (member.before is None and _changed_itself(obj)):
            rollout.free(key)
            return row.view(row.watch)
        notices = self._held_notices(rollout)
        if member.before is None:
            return row.view(row.watch, frozen=True, notices=notices)
        old = replace(row.watch, chart=member.before.chart, overrides=member.before.overrides)
        return row.view(old, notices=notices)

    def _held_notices(self, rollout: Rollout) -> tuple[Notice, ...]:
        """Say why an object waits, once that is more than its turn: a status for each wave would be a lot of writes."""
        if (by := rollout.stopped_by) is None:
            return ()
        return (Notice("RolloutHeld", f"held: rollout of chart {rollout.chart} stopped by failure of {by}"),)

    def passed(self, key: Key, row: Row, outcome: Outcome) -> None:
        """Take in a pass over an object; `row` is the view that it had."""
        rollout = self._active.get(key.row)
        if rollout is None or key not in rollout or rollout.held(key):
            return
        if inputs(row.watch) != self._targets[key.row]:  # the pass began before this rollout
            return
        obj = row.store.get((key.namespace, key.name))
        if obj is None or obj["metadata"].get("deletionTimestamp") or _is_out_of_reach(obj, outcome):
            rollout.forget(key)
        else:
            failed = bool(outcome.failure or outcome.irreconcilable)
            rollout.report(key, current=outcome.current, ready=is_ready(obj), failed=failed)
        self._advance(row, rollout)

    def gone(self, key: Key, row: Row) -> None:
        """Take in that an object is gone."""
        if rollout := self._active.get(key.row):
            rollout.forget(key)
            self._advance(row, rollout)

    def _advance(self, row: Row, rollout: Rollout) -> None:
        self._tell(row, rollout)
        for key in rollout.advance():
            self._enqueue(key, f"rollout of chart {rollout.chart}")
        self._count(row, rollout)
        if rollout.finished:
            self._active.pop(row.watch.key, None)
            _log.info("rollout done", row=str(row.watch), chart=rollout.chart)

    def _tell(self, row: Row, rollout: Rollout) -> None:
        """Tell when a rollout stops or goes on: an Event on who failed, a line in the status of who waits."""
        stopped, before = rollout.stopped_by, self._stopped.get(row.watch.key)
        if stopped == before:
            return
        if stopped is None:
            self._stopped.pop(row.watch.key, None)
            _log.info("rollout goes on", row=str(row.watch), chart=rollout.chart)
        else:
            self._stopped[row.watch.key] = stopped
            waiting = rollout.count()[Phase.WAITING]
            message = f"rollout of chart {rollout.chart} stopped by failure of {stopped}: {waiting} objects keep theirs"
            _log.warning("rollout stopped", row=str(row.watch), chart=rollout.chart, by=str(stopped), waiting=waiting)
            obj = row.store.get((stopped.namespace, stopped.name))
            if obj and waiting:
                self._recorder.event(obj, type_="Warning", reason="RolloutStopped", message=message)
        for key in rollout.of(Phase.WAITING):
            self._enqueue(key, "rollout stopped" if stopped else "rollout goes on")

    def _count(self, row: Row, rollout: Rollout | None) -> None:
        counts = rollout.count() if rollout else {}
        for phase in Phase:
            ROLLOUT.labels(row.watch.kind, phase.value).set(counts.get(phase, 0))

    def describe(self, key: tuple[str, str]) -> dict[str, object] | None:
        """Say for /readyz how a row's rollout goes; None when there is none."""
        if (rollout := self._active.get(key)) is None:
            return None
        counts = rollout.count()
        found: dict[str, object] = {"chart": rollout.chart, **{p.value: counts.get(p, 0) for p in Phase}}
        if by := rollout.stopped_by:
            found["stoppedBy"] = str(by)
        elif upgrading := rollout.of(Phase.UPGRADING):
            found["waitsFor"] = str(upgrading[0])
        return found


def inputs(watch: Watch) -> tuple[object, ...]:
    """Return what of a row goes into releases."""
    return watch.chart.digest, watch.overrides


def _objects(row: Row) -> list[tuple[Key, Object]]:
    return [
        (Key(row.watch.key, namespace, name), obj)
        for (namespace, name), obj in row.store.items()
        if not obj["metadata"].get("deletionTimestamp")
    ]


def _member(key: Key, obj: Object, before: Watch | None) -> Member:
    return Member(key, before, was_ready=is_ready(obj), had_failed=is_true(obj, "ReleaseFailed"))


def is_ready(obj: Object) -> bool:
    """Tell whether an object was Ready at its present generation when its status was written."""
    return is_true(obj, "Ready") and not _changed_itself(obj)


def _changed_itself(obj: Object) -> bool:
    """Tell whether the object has a generation that no status speaks of."""
    return bool(obj["metadata"].get("generation", 1) != (obj.get("status") or {}).get("observedGeneration"))


def _is_forced(obj: Object) -> bool:
    token = parse_requests(obj["metadata"].get("annotations")).force_at
    return bool(token and token != (obj.get("status") or {}).get("lastHandledForceAt"))


def _is_out_of_reach(obj: Object, outcome: Outcome) -> bool:
    """Tell whether people keep the engine from upgrading an object: nobody should wait for it then."""
    return outcome.refusal is not None or any(is_true(obj, word) for word in ("Paused", "Held"))
