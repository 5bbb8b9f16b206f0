"""Builds the release engine and runs it: streams in, work queue, helm, repairs, status out.

Only the leader runs it. Everything it starts ends with the task that runs it, helm processes included.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway_operator.kube import Api, EventRecorder, Informer, ObjectRef
from gateway_operator.releases.claims import Claims
from gateway_operator.releases.crd_policy import ChartCrds
from gateway_operator.releases.dependents import Dependents
from gateway_operator.releases.drift import DriftCorrector
from gateway_operator.releases.engine_health import PROBLEMS, SERVING, EngineHealth, RowHealth, stuck
from gateway_operator.releases.helm import Helm, HelmOptions, open_helm
from gateway_operator.releases.kinds import KINDS, KindLogic
from gateway_operator.releases.login import login_of
from gateway_operator.releases.manifests import Manifests
from gateway_operator.releases.passes import Passes, note
from gateway_operator.releases.queue import Key, WorkQueue
from gateway_operator.releases.reconciler import Reconciler
from gateway_operator.releases.records import ReleaseIndex, ReleaseRecord
from gateway_operator.releases.reload import LOOK_EVERY, WatchesFile, compare_rows, needs_new_stream
from gateway_operator.releases.rollouts import Rollouts, inputs
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.selection import Selection
from gateway_operator.releases.streams import Streams
from gateway_operator.releases.tools import Tools
from gateway_operator.releases.triggers import Triggers, uncount
from gateway_operator.releases.watches import Watch
from gateway_operator.settings import OperatorSettings
from gateway_operator.telemetry import get_logger

_log = get_logger(__name__)


class Engine:
    """The release engine of one process. Raises ConfigError at once when watches.yaml is wrong.

    `fence` raises LeaseLost when this replica may not act any more; it is asked before each write and each helm run.
    `about` is what Events speak of that concern no custom resource: the operator's lease or pod.
    """

    def __init__(
        self,
        api: Api,
        settings: OperatorSettings,
        *,
        recorder: EventRecorder,
        kinds: Mapping[tuple[str, str], KindLogic] | None = None,
        context: str | None = None,
        fence: Callable[[], None] = lambda: None,
        about: ObjectRef | None = None,
    ) -> None:
        path = settings.gateway.watches_path
        folder = tempfile.mkdtemp(prefix="gateway-operator-charts-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.file = WatchesFile(path, Path(folder)) if path else None
        self._api = api
        self._settings = settings
        self._recorder = recorder
        self._kinds = KINDS if kinds is None else kinds
        self._context = context
        self._fence = fence
        self._about = about
        self._running: _Running | None = None

    @property
    def enabled(self) -> bool:
        """False when no watches.yaml is set."""
        return self.file is not None

    async def run(self) -> None:
        """Run until cancelled; without a watches.yaml, only wait."""
        if self.file is None:
            _log.info("release engine is off", why="gateway.watchesPath is not set")
            await asyncio.Event().wait()
            return
        await asyncio.to_thread(self.file.refresh)
        options = HelmOptions(
            executable=self._settings.helm,
            kubeconfig=self._settings.kubeconfig,
            context=self._context,
            timeout=self._settings.helm_timeout,
            history_max=self._settings.history_max,
            concurrency=self._settings.max_concurrent_reconciles,
            guard=self._guard,
        )
        async with open_helm(options) as helm:
            self._running = _Running(
                self._api.guarded(self._guard),
                self._settings,
                self.file,
                self._kinds,
                helm=helm,
                recorder=self._recorder,
                fence=self._fence,
                about=self._about,
            )
            try:
                await self._running.run()
            finally:
                self._running = None

    def _guard(self, what: str) -> None:
        """Let a pass act, and remember what it does; requests that only look are none of that."""
        if what != "helm version":
            self._fence()
            note(what)

    def poke(self, row: tuple[str, str], namespace: str, name: str, reason: str) -> None:
        """Ask for a pass over one object, because something changed that only its kind's rules look at.

        `row` is (group, kind). Before the engine runs nothing is lost: each object gets a pass at the start.
        """
        if self._running:
            self._running.poke(Key(row, namespace, name), reason)

    def serves(self, row: tuple[str, str]) -> bool:
        """Tell whether watches.yaml has a row for this (group, kind)."""
        return self.file is not None and any(watch.key == row for watch in self.file.watches)

    def health(self) -> EngineHealth:
        """Say how it is."""
        if self._running is None:
            return EngineHealth(enabled=self.enabled, reload=self.file.problem if self.file else None)
        return self._running.health()

    def stuck(self) -> str | None:
        """Say why only a new process would help, or None."""
        return self._running.stuck() if self._running else None

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
        file: WatchesFile,
        kinds: Mapping[tuple[str, str], KindLogic],
        *,
        helm: Helm,
        recorder: EventRecorder,
        fence: Callable[[], None],
        about: ObjectRef | None,
    ) -> None:
        self._api = api
        self._settings = settings
        self._file = file
        self._watches = file.watches
        self._helm = helm
        self._recorder = recorder
        self._fence = fence
        self._about = about
        self._triggers = Triggers(kinds)
        self.index = ReleaseIndex(self._triggers.on_release)
        self.claims = Claims(self.index)
        self._rollouts = Rollouts(
            waves=settings.rollout_waves, enqueue=self._triggers.add, record_of=self._record_of, recorder=recorder
        )
        self.streams = self._make_streams()
        self.dependents = Dependents(
            api,
            on_change=self._triggers.on_dependent,
            watched=[w.key for w in self._watches],
            namespaces=settings.watch_namespaces,
        )
        self._records: list[Informer] = []
        self._reconciler = Reconciler(self._make_tools(kinds), self.claims)
        self._selection = Selection(
            self._reconciler, api=api, streams=self.streams, claims=self.claims, recorder=recorder
        )
        self._passes = Passes(self._selection, self.streams.rows, fence)
        self._queue = WorkQueue(self._passes)

    def _make_streams(self) -> Streams:
        settings = self._settings
        return Streams(
            self._api,
            login=login_of(self._api),
            watches=self._watches,
            on_event=self._on_row,
            on_synced=self._on_synced,
            on_problem=self._on_problem,
            on_stray=self._on_stray,
            namespaces=settings.watch_namespaces,
            adopt_crds=settings.adopt_crds,
            helm_runs=settings.max_concurrent_reconciles,
            period=settings.reconcile_period,
        )

    def _make_tools(self, kinds: Mapping[tuple[str, str], KindLogic]) -> Tools:
        api = self._api
        return Tools(
            api=api,
            settings=self._settings,
            helm=self._helm,
            index=self.index,
            manifests=Manifests(api),
            dependents=self.dependents,
            corrector=DriftCorrector(api),
            recorder=self._recorder,
            rows=self.streams.rows,
            kinds=kinds,
            rollouts=self._rollouts,
            crds=ChartCrds(api, self._helm),
        )

    async def run(self) -> None:
        """Run everything; first the view of Helm's records, for without it every release would look absent."""
        PROBLEMS.set_function(lambda: len(self.health().problems))
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
            self._triggers.start(self.claims, self._queue, self._reconciler, self.dependents)
            group.create_task(self._queue.run(), name="work queue")
            group.create_task(self.streams.run(), name="streams")
            group.create_task(self._reload_for_ever(), name="reload")

    def poke(self, key: Key, reason: str) -> None:
        """Ask for a pass over an object, where there is such a one."""
        row = self.streams.rows.get(key.row)
        if row is not None and (key.namespace, key.name) in row.store:
            self._triggers.add(key, reason)

    def _record_of(self, key: Key) -> ReleaseRecord | None:
        release = self.claims.held(key)
        return self.index.deployed(release) if release else None

    def _on_row(self, row: Row, type_: str, obj: Object, previous: Object | None) -> None:
        served = self.streams.rows.get(row.watch.key)
        if served is None or served.store is not row.store:
            return  # the last words of a row that is no longer served
        if type_ == "DELETED":
            meta = obj["metadata"]
            self._rollouts.gone(Key(row.watch.key, meta.get("namespace") or "", meta["name"]), served)
        self._triggers.on_row(row, type_, obj, previous)

    def _on_synced(self, row: Row) -> None:
        SERVING.labels(row.watch.kind, row.watch.group).set(1)
        self._rollouts.first_seen(row)
        for key in self._passes.synced(row.watch.key):
            self._triggers.add(key, "added while the row was starting")

    def _on_problem(self, row: Row) -> None:
        SERVING.labels(row.watch.kind, row.watch.group).set(0)
        self._tell("RowNotServed", f"{row.watch}: {row.problem}")

    def _on_stray(self, row: Row, obj: Object) -> None:
        self._selection.on_stray(row, obj)

    def _tell(self, reason: str, message: str) -> None:
        if self._about:
            self._recorder.event(self._about, type_="Warning", reason=reason, message=message)

    async def _reload_for_ever(self) -> None:
        while True:
            problem = self._file.problem
            await asyncio.to_thread(self._file.look)
            if self._file.problem and self._file.problem != problem:
                self._tell("WatchesInvalid", f"the last good watches.yaml stays in use: {self._file.problem}")
            if self._file.watches is not self._watches:
                await self._apply(self._file.watches)
            await asyncio.sleep(LOOK_EVERY)

    async def _apply(self, watches: tuple[Watch, ...]) -> None:
        """Go over to other rows."""
        changes = compare_rows(self._watches, watches)
        self._watches = watches
        for watch in changes.removed:
            row = await self.streams.remove(watch.key)
            self._rollouts.ended(row)
            uncount(row)
            SERVING.remove(watch.kind, watch.group)
            text = f"{watch} left watches.yaml: its {len(row.store)} objects, releases and finalizers stay as they are"
            _log.warning("row removed", row=str(watch), objects=len(row.store))
            self._tell("RowRemoved", text)
        for watch in changes.added:
            await self.dependents.hold_whole(*watch.key)
            await self.streams.add(watch)
            _log.info("row added", row=str(watch))
        for old, new in changes.changed:
            row = self.streams.rows[new.key]
            if needs_new_stream(old, new):
                await self.streams.restart(new.key, new)
            else:
                row.change(new)
            if inputs(old) != inputs(new):
                self._rollouts.changed(row, old, new)
            self._triggers.all_of(row, f"watches.yaml: row {new} changed")
            _log.info("row changed", row=str(new), chart=new.chart.label, digest=new.chart.short_digest)

    def health(self) -> EngineHealth:
        """Collect what is wrong."""
        rows = list(self.streams.rows.values())
        problems = [f"{r.watch}: {r.problem}" for r in rows if r.is_faulty]
        problems += [f"release records: {i.error}" for i in self._records if i.error]
        problems += [f"watch of {e}" for e in self.dependents.errors()]
        return EngineHealth(
            enabled=True,
            rows=tuple(RowHealth.of(row, self._rollouts.describe(row.watch.key)) for row in rows),
            problems=tuple(problems),
            reload=self._file.problem,
            helm=self._helm.version,
        )

    def stuck(self) -> str | None:
        """Say why only a new process would help."""
        return stuck(self.streams)

    @property
    def idle(self) -> bool:
        """Nothing is running or queued, and no row is starting."""
        settled = all(r.synced.is_set() or not r.is_faulty for r in self.streams.rows.values())
        return settled and self._queue.idle
