"""Puts objects of a release back to what their chart says.

What should be is the manifest in Helm's record; it is applied under Helm's own field manager, so that Helm and this
repair are one writer to the API server. An object that others change again and again is given longer and longer
pauses instead of a fight.
"""

from __future__ import annotations

import time
from collections import Counter as Count
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter

from gateway_operator.errors import ApiError, Invalid, KindNotServed, NotFound
from gateway_operator.kube import Api, Resource
from gateway_operator.releases import names
from gateway_operator.releases.diff import covers, culprits, pointers, replicas_are_scaled
from gateway_operator.releases.lists import disown, patch_of, rekeyed
from gateway_operator.releases.objects import ObjectId
from gateway_operator.releases.queue import backoff, jittered

DRIFT_CORRECTIONS = Counter("gateway_operator_drift_corrections_total", "Objects put back.", ["kind", "what"])

_OURS = frozenset({names.HELM_MANAGER})
_FIGHT = 5  # corrections within the window that are taken for accidents
_WINDOW = 60.0
_MAX_PAUSE = 300.0


@dataclass(frozen=True)
class Correction:
    """One repair, as told to people."""

    object: ObjectId
    what: str  # "restored" or "reverted"
    pointers: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.what == "restored":
            return f"{self.object} was deleted and is made again"
        shown = ", ".join(self.pointers[:5]) + (f" and {len(self.pointers) - 5} more" if len(self.pointers) > 5 else "")  # noqa: PLR2004
        by = f" (changed by {', '.join(self.managers)})" if self.managers else ""
        return f"{self.object} is put back at {shown}{by}"


class DriftCorrector:
    """Compares and repairs single objects."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._recent: dict[ObjectId, deque[float]] = defaultdict(lambda: deque(maxlen=50))
        self._failures: Count[ObjectId] = Count()

    def pause(self, found: ObjectId) -> float:
        """Return how long to leave an object alone because somebody keeps changing it; 0 for most."""
        times = self._recent.get(found)
        if not times:
            return 0.0
        now = time.monotonic()
        while times and now - times[0] > _MAX_PAUSE * 2:
            times.popleft()
        recent = sum(1 for t in times if now - t <= _WINDOW) if len(times) <= _FIGHT else len(times)
        if recent <= _FIGHT or not times:
            return 0.0
        due = times[-1] + min(_MAX_PAUSE, 2.0 ** (recent - _FIGHT))
        return max(0.0, due - now)

    def failed(self, found: ObjectId) -> float:
        """Count a repair that failed; returns when to try again."""
        self._failures[found] += 1
        return jittered(backoff(self._failures[found]))

    async def check(self, found: ObjectId, wanted: dict[str, Any]) -> Correction | None:
        """Repair one object if it needs it. Raises ApiError, KindNotServed."""
        correction = await self._check(found, wanted)
        self._failures.pop(found, None)
        return correction

    async def _check(self, found: ObjectId, wanted: dict[str, Any]) -> Correction | None:
        resource = await self._api.resource(found.api_version, found.kind)
        try:
            live = await self._api.get(resource, found.name, found.namespace or None)
        except NotFound:
            return await self._restore(found, resource, wanted)
        if live["metadata"].get("deletionTimestamp"):
            return None  # its DELETED event will come
        wanted = _spare(wanted, live)
        if covers(wanted, live):
            return None
        return await self._revert(found, resource, wanted, live)

    async def _restore(self, found: ObjectId, resource: Resource, wanted: dict[str, Any]) -> Correction:
        await self._api.apply(resource, wanted, field_manager=names.HELM_MANAGER, force=True)
        return self._count(Correction(found, "restored"))

    async def _revert(
        self, found: ObjectId, resource: Resource, wanted: dict[str, Any], live: dict[str, Any]
    ) -> Correction | None:
        after: dict[str, Any] | None = None
        try:
            after = await self._api.apply(resource, wanted, field_manager=names.HELM_MANAGER, force=True, dry_run=True)
        except Invalid:
            if not rekeyed(wanted, live, None):
                raise
        changed = pointers(live, after) if after else [at for at, _ in rekeyed(wanted, live, None)]
        if not changed:
            return None
        lists = rekeyed(wanted, live, after)
        if lists:
            patch = patch_of(lists, live["metadata"]["resourceVersion"])
            await self._json_patch(found, resource, patch)
        applied = await self._api.apply(resource, wanted, field_manager=names.HELM_MANAGER, force=True)
        if lists and (patch := disown(applied, names.DRIFT_MANAGER)):
            await self._json_patch(found, resource, patch)
        managers = culprits(live, changed, ours=_OURS)
        return self._count(Correction(found, "reverted", tuple(changed), tuple(managers)))

    async def _json_patch(self, found: ObjectId, resource: Resource, patch: list[dict[str, Any]]) -> None:
        await self._api.json_patch(
            resource, found.name, patch, found.namespace or None, field_manager=names.DRIFT_MANAGER
        )

    def _count(self, correction: Correction) -> Correction:
        DRIFT_CORRECTIONS.labels(correction.object.kind, correction.what).inc()
        self._recent[correction.object].append(time.monotonic())
        return correction


def _spare(wanted: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
    """Leave `spec.replicas` to an autoscaler that has taken it over."""
    if "replicas" in (wanted.get("spec") or {}) and replicas_are_scaled(live):
        return {**wanted, "spec": {k: v for k, v in wanted["spec"].items() if k != "replicas"}}
    return wanted


def describe(error: ApiError | KindNotServed, found: ObjectId) -> str:
    """Say why a repair failed."""
    return f"{found} can't be put back: {error}"
