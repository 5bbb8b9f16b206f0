"""Looks at what a release made: puts back what differs, and notes what is still awaited."""

from __future__ import annotations

import contextlib
from collections import defaultdict

from gateway_operator.errors import ApiError, KindNotServed, NotFound
from gateway_operator.releases.diff import covers
from gateway_operator.releases.drift import describe
from gateway_operator.releases.objects import GroupVersionKind, Manifest, ObjectId
from gateway_operator.releases.queue import Key
from gateway_operator.releases.readiness import WORKLOADS, awaited
from gateway_operator.releases.records import ReleaseKey
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.status import Deployed, Outcome
from gateway_operator.releases.tools import Tools
from gateway_operator.telemetry import get_logger

_log = get_logger(__name__)


class Repairs:
    """Remembers which objects are suspected of having drifted, and compares those."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._suspects: dict[Key, set[ObjectId]] = defaultdict(set)
        self._compared: dict[Key, tuple[ReleaseKey, int]] = {}  # whose whole release was compared, at which revision

    def suspect(self, key: Key, found: ObjectId) -> None:
        """Note an object to compare in the next pass."""
        self._suspects[key].add(found)

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone."""
        self._suspects.pop(key, None)
        self._compared.pop(key, None)

    async def look(self, key: Key, row: Row, release: ReleaseKey, outcome: Outcome, *, changed: bool) -> float | None:
        """Compare what is deployed with what is there; repair, and note what is awaited."""
        deployed = self._tools.index.deployed(release)
        manifest = await self._tools.manifests.get(deployed) if deployed else None
        if deployed is None or manifest is None:
            return None
        outcome.deployed = Deployed(release[1], deployed.version, manifest.chart, deployed.digest)
        await self._tools.dependents.ensure({GroupVersionKind(i.api_version, i.kind) for i in manifest.ids})
        if changed:
            with contextlib.suppress(NotFound):
                await self._tools.dependents.refresh(manifest.ids)
        delay = (
            await self._repair(key, row, release, manifest, outcome) if row.watch.watch_dependent_resources else None
        )
        outcome.awaited += self._awaited(manifest)
        return delay

    async def _repair(
        self, key: Key, row: Row, release: ReleaseKey, manifest: Manifest, outcome: Outcome
    ) -> float | None:
        suspects = self._suspects.pop(key, set())
        if self._compared.get(key) != (release, manifest.version):
            suspects = set(manifest.ids)
        if not suspects:
            return None
        wanted = {i: o for i, o in zip(manifest.ids, manifest.objects(), strict=True) if i in suspects}
        newest = self._tools.index.newest(release)
        settled = newest is not None and newest.version == manifest.version
        delays: list[float] = []
        for found, obj in wanted.items():
            if pause := self._tools.corrector.pause(found):
                self._suspects[key].add(found)
                delays.append(pause)
                continue
            seen = self._tools.dependents.live(found)
            if seen is not None and (not settled or (self._tools.dependents.is_full(found) and covers(obj, seen))):
                continue  # not settled: a failed upgrade got half way; what is there stays, what is missing comes back
            if not await self._correct(key, row, found, obj, outcome):
                self._suspects[key].add(found)
                delays.append(self._tools.corrector.failed(found))
        self._compared[key] = (release, manifest.version)
        return min(delays, default=None)

    async def _correct(self, key: Key, row: Row, found: ObjectId, obj: Object, outcome: Outcome) -> bool:
        try:
            correction = await self._tools.corrector.check(found, obj)
        except (ApiError, KindNotServed) as error:
            _log.warning("drift can't be repaired", object=str(key), error=describe(error, found))
            outcome.awaited.append(describe(error, found))
            return False
        if correction:
            _log.info("drift corrected", object=str(key), what=str(correction))
            if owner := row.store.get((key.namespace, key.name)):
                self._tools.recorder.event(owner, type_="Normal", reason="DriftCorrected", message=str(correction))
            with contextlib.suppress(NotFound):
                await self._tools.dependents.refresh([found])
        return True

    def _awaited(self, manifest: Manifest) -> list[str]:
        found = []
        for i in manifest.ids:
            kind = (i.api_version.rpartition("/")[0], i.kind)
            watched = kind in self._tools.rows
            if not watched and kind not in WORKLOADS:
                continue
            live = self._tools.dependents.live(i)
            if reason := (awaited(live, watched=watched) if live else f"{i.kind} {i.name} is missing"):
                found.append(reason)
        return found
