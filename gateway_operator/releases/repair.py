"""Looks at what a release made: puts back what differs, or says so, and notes what is still awaited."""

from __future__ import annotations

import asyncio
from collections import Counter as Count
from collections import defaultdict
from dataclasses import dataclass, field

from prometheus_client import Counter

from gateway_operator.errors import ApiError, KindNotServed
from gateway_operator.releases.annotations import requests_of
from gateway_operator.releases.drift import Checked, describe
from gateway_operator.releases.drift_rules import DriftPolicy, Terms
from gateway_operator.releases.fights import Fights
from gateway_operator.releases.kinds import is_guest
from gateway_operator.releases.objects import GroupVersionKind, Manifest, ObjectId
from gateway_operator.releases.queue import Key, backoff, jittered
from gateway_operator.releases.readiness import WORKLOADS, awaited
from gateway_operator.releases.records import ReleaseKey
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.status import Deployed, Fault, Outcome
from gateway_operator.releases.telling import Drift
from gateway_operator.releases.tools import Tools
from gateway_operator.telemetry import get_logger

DRIFT_FIGHTS = Counter("gateway_operator_drift_fights_total", "Pauses because somebody undoes repairs.", ["kind"])
DRIFT_REPORTS = Counter("gateway_operator_drift_reports_total", "Objects that differ and stay so.", ["kind"])

_AT_ONCE = 8  # objects of one release
_FIRST = frozenset({"Namespace", "CustomResourceDefinition"})  # what others need to exist
_log = get_logger(__name__)


@dataclass
class _Memory:
    """What is remembered of the objects of one custom resource's release."""

    suspects: set[ObjectId] = field(default_factory=set)
    compared: tuple[ReleaseKey, int, Terms] | None = None  # whose whole release was compared, at which revision
    drifted: dict[ObjectId, str] = field(default_factory=dict)  # told, and left as it is
    failures: Count[ObjectId] = field(default_factory=Count)
    errors: dict[ObjectId, str] = field(default_factory=dict)  # told, and tried again


@dataclass(frozen=True)
class _Job:
    """One release to look at."""

    key: Key
    row: Row
    terms: Terms
    memory: _Memory
    outcome: Outcome


class Repairs:
    """Remembers which objects are suspected of having drifted, and compares those."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._fights = Fights()
        self._memory: dict[Key, _Memory] = defaultdict(_Memory)

    def suspect(self, key: Key, found: ObjectId) -> None:
        """Note an object to compare in the next pass."""
        self._memory[key].suspects.add(found)

    def suspected(self, key: Key) -> bool:
        """Tell whether anything waits for a comparison."""
        memory = self._memory.get(key)
        return memory is None or bool(memory.suspects) or memory.compared is None

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource: it is gone, or all of its release is to be compared."""
        self._memory.pop(key, None)

    async def look(self, key: Key, row: Row, release: ReleaseKey, outcome: Outcome, *, changed: bool) -> float | None:
        """Compare what is deployed with what is there; repair or report, and note what is awaited.

        Returns when to look again. Raises ApiError, RecordError.
        """
        deployed = self._tools.index.deployed(release)
        manifest = await self._tools.manifests.get(deployed) if deployed else None
        if deployed is None or manifest is None:
            return None
        outcome.deployed = Deployed(release[1], deployed.version, manifest.chart, deployed.digest)
        await self._tools.dependents.ensure(manifest.kinds)
        if changed and not is_guest(self._tools.logic(key.row)):  # a guest's status says nothing of them
            await self._tools.dependents.refresh(manifest.ids)
        delay = None
        if row.watch.watch_dependent_resources:
            job = _Job(key, row, _terms(key, row), self._memory[key], outcome)
            delay = await self._repair(job, release, manifest)
            outcome.drifted += job.memory.drifted.values()
            outcome.irreconcilable = _trouble(job.memory.errors)
        outcome.awaited += self._awaited(manifest)
        return delay

    async def _repair(self, job: _Job, release: ReleaseKey, manifest: Manifest) -> float | None:
        """Compare the suspects, all objects where that was never done; what others need comes first."""
        memory, suspects = job.memory, job.memory.suspects
        memory.suspects = set()
        compared = (release, manifest.version, job.terms)
        if memory.compared != compared:
            suspects = set(manifest.ids)
        memory.drifted = {i: text for i, text in memory.drifted.items() if i in manifest.ids}
        memory.errors = {i: text for i, text in memory.errors.items() if i in manifest.ids}
        if not suspects:
            return None
        newest = self._tools.index.newest(release)
        settled = newest is not None and newest.version == manifest.version
        wanted = [(i, o) for i, o in zip(manifest.ids, manifest.objects(), strict=True) if i in suspects]
        slots = asyncio.Semaphore(_AT_ONCE)
        delays: list[float | None] = []
        for first in (True, False):
            delays += await asyncio.gather(
                *(self._one(job, i, o, slots, settled=settled) for i, o in wanted if (i.kind in _FIRST) is first)
            )
        memory.compared = compared
        return min((d for d in delays if d is not None), default=None)

    async def _one(
        self, job: _Job, found: ObjectId, wanted: Object, slots: asyncio.Semaphore, *, settled: bool
    ) -> float | None:
        """Look at one object; returns when to look again, if that is needed."""
        seen = self._tools.dependents.live(found)
        policy = job.terms.policy_for(wanted, seen)
        # not settled: a failed upgrade got half way; what is there stays, what is missing comes back
        if policy is DriftPolicy.IGNORE or (seen is not None and not settled):
            self._done(job, found, Checked())
            return None
        if pause := self._fights.left(found):
            job.memory.suspects.add(found)
            return pause
        if self._tools.dependents.stands(found, wanted):
            self._done(job, found, Checked())
            return None
        async with slots:
            try:
                checked = await self._tools.corrector.check(found, wanted, job.terms)
            except (ApiError, KindNotServed) as error:
                return self._failed(job, found, describe(error, found))
        self._done(job, found, checked)
        return None

    def _failed(self, job: _Job, found: ObjectId, error: str) -> float:
        """Tell why one object can't be repaired; the others are none the worse for it."""
        memory = job.memory
        memory.failures[found] += 1
        memory.suspects.add(found)
        if memory.errors.get(found) != error:
            _log.warning("drift can't be repaired", object=str(job.key), error=error)
            self._tell(job, "Warning", "DriftRepairFailed", error)
        memory.errors[found] = error
        return jittered(backoff(memory.failures[found]))

    def _done(self, job: _Job, found: ObjectId, checked: Checked) -> None:
        """Tell what a check did."""
        memory, drift = job.memory, checked.drift
        if checked.live is not None:
            self._tools.dependents.take(found, checked.live)
        memory.failures.pop(found, None)
        memory.errors.pop(found, None)
        told = memory.drifted.pop(found, None)
        if drift is None:
            return
        if drift.repaired:
            _log.info("drift corrected", object=str(job.key), what=str(drift))
            self._tell(job, "Normal", "DriftCorrected", str(drift))
            self._count(job, drift)
            return
        memory.drifted[found] = str(drift)
        if told != str(drift):
            _log.info("drift found", object=str(job.key), what=str(drift))
            DRIFT_REPORTS.labels(found.kind).inc()
            self._tell(job, "Warning", "DriftDetected", str(drift))

    def _count(self, job: _Job, drift: Drift) -> None:
        """Give way to somebody who undoes what was just repaired; the next change waits for the pause to end."""
        pause = self._fights.note(drift.object, [c.pointer for c in drift.changes] or [""])
        if not pause:
            return
        who = ", ".join(drift.managers) or "somebody"
        where = ", ".join(c.pointer for c in drift.changes[:3])
        text = (
            f"{who} changes {drift.object} again after each repair{f' at {where}' if where else ''}: it is put back "
            "with growing pauses of up to 5 minutes; stop one of the two, or name the field in ignoreRules"
        )
        _log.warning("fight over an object", object=str(job.key), what=text, pause=round(pause, 1))
        DRIFT_FIGHTS.labels(drift.object.kind).inc()
        self._tell(job, "Warning", "DriftFight", text)

    def _tell(self, job: _Job, type_: str, reason: str, message: str) -> None:
        if owner := job.row.store.get((job.key.namespace, job.key.name)):
            self._tools.recorder.event(owner, type_=type_, reason=reason, message=message)

    def _awaited(self, manifest: Manifest) -> list[str]:
        found = []
        groups = {kind: (kind.api_version.rpartition("/")[0], kind.kind) for kind in manifest.kinds}
        told = {kind: group in self._tools.rows for kind, group in groups.items()}
        wanted = {kind for kind, group in groups.items() if told[kind] or group in WORKLOADS}
        for i in manifest.ids if wanted else ():
            kind = GroupVersionKind(i.api_version, i.kind)
            if kind not in wanted:
                continue
            watched, live = told[kind], self._tools.dependents.live(i)
            if reason := (awaited(live, watched=watched) if live else f"{i.kind} {i.name} is missing"):
                found.append(reason)
        return found


def _trouble(errors: dict[ObjectId, str]) -> Fault | None:
    """Say what can't be put back, every object of it."""
    return Fault("ReconcileError", "; ".join(errors.values())) if errors else None


def _terms(key: Key, row: Row) -> Terms:
    """Return the policy that the custom resource asks for, or else its row."""
    obj = row.store.get((key.namespace, key.name))
    own = requests_of(obj).drift_policy if obj else None
    return Terms(own or row.watch.drift_policy, row.watch.ignore_rules)
