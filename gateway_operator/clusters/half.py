"""Keeps the cluster half of the operator alive beside the release engine, and says how it is.

Neither half may take the other down: what breaks here is logged, shown on /readyz, and begun anew; until the new start
has read everything, gateways keep what the old one told them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import Counter

from gateway_operator.clusters.members import MEMBERS
from gateway_operator.clusters.mirror import MirrorRows
from gateway_operator.clusters.service import NGINXES, POLICIES, Clusters, ClusterSettings
from gateway_operator.errors import ApiError, KindNotServed
from gateway_operator.kube import Api
from gateway_operator.telemetry import get_logger
from gateway_operator.traffic.gateways import Assignment, Key, Quarantined

log = get_logger(__name__)
CRASHES = Counter("gateway_operator_clusters_crashes_total", "Starts of the cluster half after it broke.")
_LOOK_EVERY = 15.0  # seconds between two looks for missing CRDs
_FIRST_DELAY, _LAST_DELAY = 1.0, 60.0
_GOOD_RUN = 120.0


@dataclass(frozen=True)
class HalfHealth:
    """How the half is; `ready` is False only where it should work and doesn't."""

    ready: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


class ClustersHalf:
    """Runs `Clusters` whenever the cluster has its kinds. `told` is called with each gateway of which anything changed.

    `mirrored` is called with each policy whose mirrors changed.
    """

    def __init__(
        self,
        api: Api,
        settings: ClusterSettings,
        *,
        enabled: bool,
        told: Callable[[Key], None],
        mirrored: Callable[[Key], None],
    ) -> None:
        self._api = api
        self._settings = settings
        self._enabled = enabled
        self._told = told
        self._mirrored = mirrored
        self._state = "waiting for the lease" if enabled else "off: clusters.enabled is false"
        self._problem = ""
        self._missing = False
        self._current: Clusters | None = None
        self._last: dict[Key, Assignment] | None = None

    @property
    def enabled(self) -> bool:
        """False where the settings say so: then whoever writes an Nginx object decides about its split config."""
        return self._enabled

    def assignment(self, namespace: str, name: str) -> Assignment | None:
        """Return what a gateway is told; None while that isn't known yet."""
        known = self._current.assignments if self._current else None
        known = self._last if known is None else known
        if known is None:
            return Assignment() if self._missing else None
        return known.get((namespace, name), Assignment())

    def quarantine(self, namespace: str, name: str) -> Quarantined | None:
        """Return whom a gateway's nginx refuses; None while no pod has told."""
        return self._current.quarantines.get((namespace, name)) if self._current else None

    def mirrors(self, namespace: str, name: str) -> MirrorRows | None:
        """Return the mirrors of a policy for the chart that makes them; None while they aren't known."""
        current = self._current
        if current is None or current.assignments is None:
            return None
        return current.mirrors.get((namespace, name))

    async def run(self) -> None:
        """Work until cancelled; a crash is no end."""
        if not self._enabled:
            await asyncio.Event().wait()
        delay = _FIRST_DELAY
        while True:
            await self._wait_for_kinds()
            began = time.monotonic()
            try:
                async with self._begun() as clusters:
                    await clusters.run()
            except Exception as error:
                CRASHES.inc()
                self._problem = f"clusters: broke off and begins anew: {_text(error)}"
                log.exception("the cluster half broke off; it begins anew", again_in=delay)
            self._state = "begins anew"
            delay = _FIRST_DELAY if time.monotonic() - began > _GOOD_RUN else min(delay * 2, _LAST_DELAY)
            await asyncio.sleep(delay)

    @contextlib.asynccontextmanager
    async def _begun(self) -> AsyncIterator[Clusters]:
        clusters = Clusters(self._api, self._settings)
        clusters.listeners.append(self._told)
        clusters.mirror_listeners.append(self._mirrored)
        self._current, self._state = clusters, "at work"
        try:
            yield clusters
        finally:
            self._last = self._last if clusters.assignments is None else clusters.assignments
            self._current = None

    async def _wait_for_kinds(self) -> None:
        """Wait until every kind is served; says which one isn't."""
        while True:
            missing = await self._missing_kind()
            if missing is None:
                self._missing = False
                return
            if self._state != missing:
                log.info("policies aren't served", why=missing)
            self._state = missing
            await asyncio.sleep(_LOOK_EVERY)

    async def _missing_kind(self) -> str | None:
        try:
            for res in (POLICIES, MEMBERS, NGINXES):
                await self._api.resource(res.api_version, res.kind)
        except KindNotServed as error:
            self._missing = True
            return f"off: {error}"
        except ApiError as error:
            return f"waiting: {error}"
        return None

    def health(self) -> HalfHealth:
        """Say how it is."""
        if self._current and self._current.assignments is not None:
            self._problem = ""
        details: dict[str, Any] = {"enabled": self._enabled, "state": self._state}
        problems = [self._problem] if self._problem else []
        if self._current:
            details |= self._current.describe()
            problems += self._current.problems()
        return HalfHealth(not self._problem, details, tuple(problems))


def _text(error: Exception) -> str:
    """Name an error; of a group of errors, the first one."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
