"""Event streams of custom resources, by kopf.

kopf gives what is hard in a watch: relisting, bookmarks, silent connections, fresh credentials. Nothing else of it is
used: no handlers with state, no finalizers, annotations, peering or Events.

Each row is a kopf operator of its own, so that a missing CRD or a lacking right ends one row and not all. They live on
a loop in a thread of their own (kopf's documented way of embedding), because on the main thread kopf replaces the
process's signal handlers, and at its end it cancels every task that began after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any

import kopf

from gateway_operator.errors import ApiError, Forbidden, GatewayOperatorError, KindNotServed, NotFound
from gateway_operator.kube import Api, Resource
from gateway_operator.releases.crds import check_crd
from gateway_operator.releases.login import Login
from gateway_operator.releases.queue import backoff, jittered
from gateway_operator.releases.rows import Object, OnEvent, Row, StoreKey, store_key
from gateway_operator.releases.watches import Watch
from gateway_operator.telemetry import get_logger

_ASK_AGAIN = 2.0  # for a kind that isn't served yet
_ASK_AGAIN_REFUSED = 10.0
_FIRST_VIEW = 5.0  # how long kopf may take to tell what a list has shown
_STOP = 3.0
_TLS_CLOSE = 0.25  # closed connections say goodbye in the loop's next rounds
_BEAT = 5.0  # how often kopf's loop shows that it turns
_NEW_WATCH = 120  # seconds after which the API server ends a watch; so a live stream is heard of that often
_log = get_logger(__name__)


class Streams:
    """All rows, kept running. `period` is the operator's default, in seconds."""

    def __init__(
        self,
        api: Api,
        *,
        login: Login,
        watches: Iterable[Watch],
        on_event: OnEvent,
        on_synced: Callable[[Row], None] = lambda _row: None,
        on_problem: Callable[[Row], None] = lambda _row: None,
        on_stray: Callable[[Row, Object], None] = lambda _row, _obj: None,
        namespaces: tuple[str, ...] = (),
        adopt_crds: bool = False,
        helm_runs: int = 4,
        period: float = 0.0,
    ) -> None:
        self._api = api
        self._login = login
        self._namespaces = namespaces
        self._adopt = adopt_crds
        self._on_event, self._on_synced, self._on_problem, self._on_stray = on_event, on_synced, on_problem, on_stray
        self._helm_runs = helm_runs
        self._period = period
        self.rows = {w.key: self._row(w) for w in watches}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._thread = _LoopThread()

    def _row(self, watch: Watch) -> Row:
        return Row(watch, self._on_event, helm_runs=self._helm_runs)

    async def run(self) -> None:
        """Serve every row until cancelled."""
        self._thread.start()
        try:
            async with asyncio.TaskGroup() as self._group:
                for row in self.rows.values():
                    self._start(row)
                await asyncio.Event().wait()
        finally:
            self._group = None
            await asyncio.shield(self._thread.stop())

    @property
    def beat_age(self) -> float:
        """Seconds since kopf's loop last showed that it turns; 0 before it was started."""
        return self._thread.beat_age

    async def add(self, watch: Watch) -> Row:
        """Serve one more row."""
        row = self.rows[watch.key] = self._row(watch)
        self._start(row)
        return row

    async def remove(self, key: tuple[str, str]) -> Row:
        """End a row's streams; what it served stays as it is."""
        row = self.rows.pop(key)
        await self._stop(key)
        return row

    async def restart(self, key: tuple[str, str], watch: Watch) -> None:
        """Serve a row by new words: another version or selector."""
        await self._stop(key)
        row = self.rows[key]
        row.synced.clear()
        row.change(watch)
        row.problem, row.waits = "is starting", False
        self._start(row)

    def _start(self, row: Row) -> None:
        if self._group is not None:
            self._tasks[row.watch.key] = self._group.create_task(self._run_row(row), name=f"row {row.watch}")

    async def _stop(self, key: tuple[str, str]) -> None:
        if task := self._tasks.pop(key, None):
            task.cancel()
            await asyncio.wait({task})

    async def _run_row(self, row: Row) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(row), name=f"stream {row.watch}")
            group.create_task(self._compare_for_ever(row), name=f"compare {row.watch}")

    async def _keep(self, row: Row) -> None:
        failures = 0
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await self._serve(row)
            except (KindNotServed, NotFound) as error:
                delay = self._report(row, str(error), _ASK_AGAIN, waits=True)
            except _Refused as error:
                delay = self._report(row, str(error), _ASK_AGAIN_REFUSED, waits=True)
            except (GatewayOperatorError, Exception) as error:  # noqa: BLE001 - kopf's errors have no common base
                failures = 1 if asyncio.get_running_loop().time() - started > backoff(failures) * 2 else failures + 1
                delay = self._report(row, _reason(error), jittered(backoff(failures, limit=30)))
            await asyncio.sleep(delay)

    def _report(self, row: Row, problem: str, delay: float, *, waits: bool = False) -> float:
        known, row.problem, row.waits = row.problem, problem, waits
        row.synced.clear()
        if problem != known:
            _log.warning("row is not served", row=str(row.watch), problem=problem)
            self._on_problem(row)
        return delay

    async def _serve(self, row: Row) -> None:
        """Run one row's stream until it fails."""
        row.watching = None
        row.resource = resource = await self._api.resource(row.watch.api_version, row.watch.kind)
        if refusal := await check_crd(self._api, row.watch, resource, adopt=self._adopt):
            raise _Refused(refusal)
        stream = asyncio.wrap_future(self._thread.submit(self._stream(row, resource, asyncio.get_running_loop())))
        first = asyncio.create_task(self._first_view(row), name=f"first view {row.watch}")
        try:
            await asyncio.wait({stream, first}, return_when=asyncio.FIRST_COMPLETED)
            if first.done():
                first.result()
            await stream
        finally:
            first.cancel()
            stream.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await first

    async def _first_view(self, row: Row) -> None:
        await self.compare(row, patience=_FIRST_VIEW)
        deadline = time.monotonic() + _FIRST_VIEW
        while row.watching is None and time.monotonic() < deadline:  # noqa: ASYNC110 - told by another loop
            await asyncio.sleep(0.02)
        if row.watching is False:
            raise Forbidden(403, "Forbidden", f"may list {row.watch} but not watch it: a rule is missing")
        row.problem, row.waits = None, False
        row.synced.set()
        self._on_synced(row)
        _log.info("row is served", row=str(row.watch), objects=len(row.store))

    async def _stream(self, row: Row, resource: Resource, loop: asyncio.AbstractEventLoop) -> None:
        """Run kopf for one row; on the thread's loop."""
        registry = kopf.OperatorRegistry()
        connections: list[kopf.AiohttpSession] = []

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.AiohttpSession:
            connections.append(await self._login(row.heard))
            return connections[-1]

        @kopf.on.event(resource.group, resource.version, resource.plural, registry=registry)
        async def seen(event: Any, **_: Any) -> None:
            row.heard_at = time.monotonic()
            loop.call_soon_threadsafe(row.take, event["type"], event["object"])

        spawning = asyncio.ensure_future(
            kopf.spawn_tasks(
                registry=registry,
                settings=_settings(row.watch),
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
            )
        )
        try:
            tasks = await asyncio.shield(spawning)
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            raise RuntimeError("kopf's stream ended")
        finally:
            tasks = await spawning  # cancelled half way, it would leave to nobody the tasks that it made
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for connection in connections:  # kopf closes those that it has begun to use
                await connection.aiohttp_session.close()

    async def compare(self, row: Row, *, patience: float = 1.0) -> None:
        """Compare what the streams told with a list of names, and mend the difference. Raises ApiError."""
        listed = await self._names(row)
        deadline = asyncio.get_running_loop().time() + patience
        while listed - row.store.keys() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - told by another loop
            await asyncio.sleep(0.02)
        for key in listed ^ row.store.keys():
            await self._settle(row, key, listed=key in listed)

    async def _names(self, row: Row) -> set[StoreKey]:
        return {store_key(item) for item in await self._list(row, row.watch.selector)}

    async def _list(self, row: Row, selector: str, field_selector: str = "") -> list[Object]:
        """List the metadata of a row's objects. Raises ApiError."""
        assert row.resource is not None  # noqa: S101 - set before any stream
        found: list[Object] = []
        for scope in self._scopes(row):
            listing = await self._api.list(
                row.resource, scope, label_selector=selector, field_selector=field_selector, metadata_only=True
            )
            found += listing.items
        return found

    def _scopes(self, row: Row) -> tuple[str | None, ...]:
        namespaced = row.resource is not None and row.resource.namespaced
        return (self._namespaces or (None,)) if namespaced else (None,)

    async def _settle(self, row: Row, key: StoreKey, *, listed: bool) -> None:
        """Ask about one object that list and stream tell differently."""
        assert row.resource is not None  # noqa: S101
        obj = await self._api.find(row.resource, key[1], key[0] or None)
        if obj is None:
            if gone := row.store.get(key):
                row.take("DELETED", gone)
            return
        if listed:
            row.take("MODIFIED", obj)
        elif not await self.selects(row, key):
            row.take("DELETED", obj)

    async def selects(self, row: Row, key: StoreKey) -> bool:
        """Ask the API server whether an object has the labels that its row wants. Raises ApiError."""
        if not row.watch.selector or row.resource is None:
            return True
        listing = await self._api.list(
            row.resource,
            key[0] or None,
            label_selector=row.watch.selector,
            field_selector=f"metadata.name={key[1]}",
            metadata_only=True,
        )
        return bool(listing.items)

    async def _compare_for_ever(self, row: Row) -> None:
        """Compare once in a while: a watch can lose a deletion, and a label can go while nobody looks."""
        while True:
            own = row.watch.reconcile_period
            period = self._period if own is None else own
            if period <= 0:
                await asyncio.Event().wait()
            await asyncio.sleep(jittered(period))
            if row.synced.is_set():
                try:
                    await self.compare(row)
                    await self._look_for_strays(row)
                except ApiError as error:
                    _log.warning("comparing with the API server failed", row=str(row.watch), error=str(error))

    async def _look_for_strays(self, row: Row) -> None:
        """Find objects that are being deleted, wait for our finalizer, and lost their label unseen. Raises ApiError."""
        if not row.watch.selector:
            return
        for item in await self._list(row, ""):
            if item["metadata"].get("deletionTimestamp") and store_key(item) not in row.store:
                self._on_stray(row, item)


class _Refused(GatewayOperatorError):
    """The CRD belongs to somebody else."""


def _settings(watch: Watch) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.process.ultimate_exiting_timeout = None  # it would kill the process ten minutes after a restarted row
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = _NEW_WATCH
    settings.watching.reconnect_backoff = 0.5
    settings.networking.error_backoffs = (1, 1, 2, 3, 5)
    settings.queueing.idle_timeout = 1.0
    settings.queueing.exit_timeout = 0.5
    if watch.selector:
        settings.watching.label_selectors[kopf.EVERYTHING] = watch.selector
    return settings


def _reason(error: Exception) -> str:
    """Put an error into words; where rights are missing, Kubernetes' own sentence says it all."""
    return str(error) if isinstance(error, Forbidden) else f"{type(error).__name__}: {error}"


class _LoopThread:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._beat_at: float | None = None
        self._thread = threading.Thread(target=self._main, name="kopf", daemon=True)
        self._futures: set[Future[None]] = set()

    def start(self) -> None:
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # it misses signals; they are ours
        self._thread.start()

    @property
    def beat_age(self) -> float:
        return 0.0 if self._beat_at is None else time.monotonic() - self._beat_at

    def _beat(self) -> None:
        self._beat_at = time.monotonic()
        self._loop.call_later(_BEAT, self._beat)

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._beat)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def submit(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def stop(self) -> None:
        """Cancel what runs, and end the thread."""
        if not self._thread.is_alive():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP):
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_end_all(), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, _STOP)


async def _end_all() -> None:
    """Let what was cancelled finish (a second cancel would keep kopf from closing its sessions), then insist."""
    tasks = {t for t in asyncio.all_tasks() if t is not asyncio.current_task()}
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=_STOP / 2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(_TLS_CLOSE)
