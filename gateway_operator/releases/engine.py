"""Builds the release engine and runs it: streams in, work queue, helm, repairs, status out.

Only the leader runs it. Everything it starts ends with the task that runs it, helm processes included.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway_operator.kube import Api, EventRecorder, Informer
from gateway_operator.releases.claims import Claims
from gateway_operator.releases.dependents import Dependents
from gateway_operator.releases.drift import DriftCorrector
from gateway_operator.releases.helm import HelmOptions, open_helm
from gateway_operator.releases.kinds import KINDS, KindLogic
from gateway_operator.releases.login import login_of
from gateway_operator.releases.manifests import Manifests
from gateway_operator.releases.objects import ObjectId
from gateway_operator.releases.queue import Key, WorkQueue
from gateway_operator.releases.reconciler import Reconciler
from gateway_operator.releases.records import ReleaseIndex, ReleaseKey
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.streams import Streams
from gateway_operator.releases.tools import Tools
from gateway_operator.releases.watches import Watch, load_watches
from gateway_operator.settings import OperatorSettings
from gateway_operator.telemetry import get_logger

_SPREAD = 0.5  # the share of a period over which the passes of a row are spread
_log = get_logger(__name__)


@dataclass(frozen=True)
class RowHealth:
    """How one row of watches.yaml is doing."""

    row: str
    serving: bool
    problem: str | None = None
    objects: int = 0


@dataclass(frozen=True)
class EngineHealth:
    """What /readyz and people want to know."""

    enabled: bool
    rows: tuple[RowHealth, ...] = ()
    problems: tuple[str, ...] = field(default=())

    @property
    def ready(self) -> bool:
        """True when every row is served, or waits for nothing but its CRD or a decision, and all watches work."""
        return not self.problems


class Engine:
    """The release engine of one process. Raises ConfigError at once when watches.yaml is wrong."""

    def __init__(
        self,
        api: Api,
        settings: OperatorSettings,
        *,
        recorder: EventRecorder,
        kinds: Mapping[tuple[str, str], KindLogic] | None = None,
        context: str | None = None,
    ) -> None:
        path = settings.gateway.watches_path
        self.watches: tuple[Watch, ...] = load_watches(path) if path else ()
        self.enabled = path is not None
        self._api = api
        self._settings = settings
        self._recorder = recorder
        self._kinds = KINDS if kinds is None else kinds
        self._context = context
        self._running: _Running | None = None

    async def run(self) -> None:
        """Run until cancelled; without a watches.yaml, only wait."""
        if not self.enabled:
            _log.info("release engine is off", why="gateway.watchesPath is not set")
            await asyncio.Event().wait()
        options = HelmOptions(
            executable=self._settings.helm,
            kubeconfig=self._settings.kubeconfig,
            context=self._context,
            timeout=self._settings.helm_timeout,
            history_max=self._settings.history_max,
            concurrency=self._settings.max_concurrent_reconciles,
        )
        async with open_helm(options) as helm:
            running = _Running(self._api, self._settings, self.watches, self._kinds)
            tools = running.tools(helm, self._recorder)
            self._running = running
            try:
                await running.run(tools)
            finally:
                self._running = None

    def health(self) -> EngineHealth:
        """Say how it is."""
        if self._running is None:
            return EngineHealth(enabled=self.enabled)
        return self._running.health()

    @property
    def idle(self) -> bool:
        """True when every row is settled and no pass is running or waiting."""
        return self._running is not None and self._running.idle


class _Running:
    """What exists while the engine runs."""

    def __init__(
        self,
        api: Api,
        settings: OperatorSettings,
        watches: tuple[Watch, ...],
        kinds: Mapping[tuple[str, str], KindLogic],
    ) -> None:
        self._api = api
        self._settings = settings
        self._kinds = kinds
        self.index = ReleaseIndex(self._on_release)
        self.claims = Claims(self.index)
        self.streams = Streams(
            api,
            login=login_of(api),
            watches=watches,
            on_event=self._on_row,
            namespaces=settings.watch_namespaces,
            adopt_crds=settings.adopt_crds,
            helm_runs=settings.max_concurrent_reconciles,
        )
        self.dependents = Dependents(
            api,
            on_change=self._on_dependent,
            watched=[w.key for w in watches],
            namespaces=settings.watch_namespaces,
        )
        self._records: list[Informer] = []
        self._queue: WorkQueue | None = None
        self._reconciler: Reconciler | None = None

    def tools(self, helm: object, recorder: EventRecorder) -> Tools:
        """Put the parts together."""
        return Tools(
            api=self._api,
            settings=self._settings,
            helm=helm,  # type: ignore[arg-type]
            index=self.index,
            manifests=Manifests(self._api),
            dependents=self.dependents,
            corrector=DriftCorrector(self._api),
            recorder=recorder,
            rows=self.streams.rows,
            kinds=self._kinds,
        )

    async def run(self, tools: Tools) -> None:
        """Run everything; first the view of Helm's records, for without it every release would look absent."""
        self._reconciler = Reconciler(tools, self.claims)
        self._queue = WorkQueue(self._reconciler)
        secrets = await self._api.resource("v1", "Secret")
        scopes: tuple[str | None, ...] = self._settings.watch_namespaces or (None,)
        self._records = [
            Informer(
                self._api,
                secrets,
                namespace=scope,
                label_selector="owner=helm",
                metadata_only=True,
                on_event=self.index.on_event,
            )
            for scope in scopes
        ]
        async with asyncio.TaskGroup() as group:
            for informer in self._records:
                group.create_task(informer.run(), name="watch release records")
            group.create_task(self.dependents.run(), name="dependents")
            for informer in self._records:
                await informer.synced.wait()
            group.create_task(self._queue.run(), name="work queue")
            group.create_task(self.streams.run(), name="streams")
            for row in self.streams.rows.values():
                group.create_task(self._periodic(row), name=f"period {row.watch}")

    async def _periodic(self, row: Row) -> None:
        """Compare names and look at every object of a row, once in a period."""
        own = row.watch.reconcile_period
        period = self._settings.reconcile_period if own is None else own
        if period <= 0:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self.streams.compare_for_ever(row, period), name=f"compare {row.watch}")
            while True:
                await asyncio.sleep(period)
                for namespace, name in row.store:
                    delay = random.uniform(0, period * _SPREAD)  # noqa: S311 - no secret
                    if self._queue:
                        self._queue.add_after(Key(row.watch.key, namespace, name), delay, "period")

    def _on_row(self, row: Row, type_: str, obj: Object, previous: Object | None) -> None:
        """Turn an event of a custom resource into work; a new status alone is none."""
        meta = obj["metadata"]
        key = Key(row.watch.key, meta.get("namespace") or "", meta["name"])
        if self._queue is None:
            return
        reason = _why(type_, obj, previous)
        if reason is None:
            return
        if previous is None or previous["metadata"].get("generation") != meta.get("generation"):
            self._queue.reset(key)
        self._queue.add(key, reason)
        if self._affects_peers(row, obj, previous):
            for namespace, name in row.store:
                if (namespace, name) != key[1:]:
                    self._queue.add(Key(row.watch.key, namespace, name), f"{key} {type_.lower()}")

    def _affects_peers(self, row: Row, obj: Object, previous: Object | None) -> bool:
        logic = self._kinds.get(row.watch.key)
        try:
            return logic is not None and any(logic.peers_affected(o) for o in (obj, previous) if o is not None)
        except Exception:  # noqa: BLE001 - then look at all of them
            _log.exception("a kind's rule failed", row=str(row.watch))
            return True

    def _on_release(self, release: ReleaseKey) -> None:
        key = self.claims.holder(release)
        if key and self._queue:
            self._queue.add(key, f"release record of {release[1]}")

    def _on_dependent(self, release: ReleaseKey, found: ObjectId, may_have_drifted: bool) -> None:  # noqa: FBT001
        key = self.claims.holder(release)
        if key is None or self._queue is None or self._reconciler is None:
            return
        if may_have_drifted:
            self._reconciler.suspect(key, found)
        if may_have_drifted or self.dependents.is_full(found):
            self._queue.add(key, str(found))

    def health(self) -> EngineHealth:
        """Collect what is wrong."""
        rows = tuple(
            RowHealth(str(r.watch), serving=r.synced.is_set(), problem=r.problem, objects=len(r.store))
            for r in self.streams.rows.values()
        )
        problems = [f"{r.watch}: {r.problem}" for r in self.streams.rows.values() if r.is_faulty]
        problems += [f"release records: {i.error}" for i in self._records if i.error]
        problems += [f"watch of {e}" for e in self.dependents.errors()]
        return EngineHealth(enabled=True, rows=rows, problems=tuple(problems))

    @property
    def idle(self) -> bool:
        """Nothing is running or queued, and no row is starting."""
        settled = all(r.synced.is_set() or not r.is_faulty for r in self.streams.rows.values())
        return settled and self._queue is not None and self._queue.idle


def _why(type_: str, obj: Object, previous: Object | None) -> str | None:
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
