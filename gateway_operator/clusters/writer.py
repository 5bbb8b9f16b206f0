"""Brings into the centre what the pure parts decided: mirror objects and statuses, by server-side apply.

It follows what is there, writes only differences, a bounded number at a time, and takes away what nobody wants, also
what an earlier operator left behind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from prometheus_client import Counter

from gateway_operator.clusters.connection import SERVICES, SLICES
from gateway_operator.clusters.grouping import put_in, take_out
from gateway_operator.clusters.mirror import (
    MANAGER,
    MIRROR_SELECTOR,
    OWN_SERVICES_SELECTOR,
    Changes,
    Key,
    Want,
    comparing,
    service_of,
    strip,
)
from gateway_operator.clusters.pace import Breath, unhurried
from gateway_operator.clusters.packing import PackedSlice, pack_slice
from gateway_operator.clusters.store import Alive
from gateway_operator.errors import ApiError, Conflict, NotFound
from gateway_operator.kube import Api, Informer, Resource
from gateway_operator.kube.informer import key_of
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)
WRITES = Counter("gateway_operator_mirror_writes_total", "Mirror objects written to the centre.", ["kind", "verb"])
_AT_ONCE = 16
_IN_A_PASS = 1000  # mirrors that one pass compares and writes: what changes meanwhile waits for no more than these
STATUS_MANAGER = "gateway-operator-clusters"
_STATUS_EVERY = 1.0  # seconds between two writes of one object's status

Object = dict[str, Any]


class Mirror:
    """The mirror objects of the centre; `changed` is called when somebody else touches them."""

    def __init__(self, api: Api, changed: Callable[[], None]) -> None:
        self._api = api
        self._changed = changed
        self._by_service: dict[Key, tuple[PackedSlice, ...]] = {}
        self._clean: dict[Key, tuple[Any, ...]] = {}  # what was compared last, and found right
        self._seen: set[Key] = set()  # what was compared in this round; a round ends when all that is doubtful was
        self._services = Informer(
            api, SERVICES, label_selector=OWN_SERVICES_SELECTOR, strip=strip, on_event=lambda *_: changed()
        )
        self._slices = Informer(api, SLICES, label_selector=MIRROR_SELECTOR, strip=pack_slice, on_event=self._on_slice)

    async def run(self) -> None:
        """Follow what is there until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._services.run())
            group.create_task(self._slices.run())

    @property
    def informers(self) -> tuple[Informer, ...]:
        """What follows the mirror's objects."""
        return self._services, self._slices

    async def synced(self) -> None:
        """Wait until all that is there has been seen."""
        await self._services.synced.wait()
        await self._slices.synced.wait()

    async def sync(self, wanted: Mapping[Key, Want], alive: Alive, *, services: bool = True) -> bool:
        """Write what differs, a bounded part of it; True when all is written. `services` False: a chart makes them."""
        marks = {key: self._mark(key, want) for key, want in wanted.items()}
        doubtful = [key for key, mark in marks.items() if wanted[key].expired or not _is(self._clean.get(key), mark)]
        chosen = self._choose(doubtful)
        there = (self._services.store, _Unpacked(self._by_service))
        todo = await unhurried(comparing(wanted, *there, alive, chosen, own_services=services))
        wrong = {*map(key_of, todo.services), *map(service_of, (*todo.slices, *todo.old_slices))}
        left = {*doubtful} - {*chosen}
        self._clean = {key: mark for key, mark in marks.items() if key not in wrong and key not in left}
        done = await self._write(todo) if todo else True
        if left and done:
            self._changed()
        return done and not left

    def _choose(self, doubtful: list[Key]) -> list[Key]:
        """Return what this pass compares: first what this round hasn't seen, so that nothing waits for ever."""
        if len(doubtful) <= _IN_A_PASS:
            self._seen.clear()
            return doubtful
        unseen = [key for key in doubtful if key not in self._seen]
        if not unseen:
            self._seen.clear()
        chosen = (unseen or doubtful)[:_IN_A_PASS]
        self._seen.update(chosen)
        return chosen

    def _mark(self, key: Key, want: Want) -> tuple[Any, ...]:
        """Return what a comparison looks at: as long as all of it is the same, its answer is, too."""
        return (want, self._services.store.get(key), *self._by_service.get(key, ()))

    async def _write(self, todo: Changes) -> bool:
        """Services come before their slices, and what is new before what is old goes."""
        done = await _in_batches([partial(self._apply, SERVICES, obj) for obj in todo.services])
        done &= await _in_batches([partial(self._apply, SLICES, obj) for obj in todo.slices])
        if done:
            done &= await _in_batches([partial(self._delete, SLICES, obj) for obj in todo.old_slices])
            done &= await _in_batches([partial(self._delete, SERVICES, obj) for obj in todo.old_services])
        return done

    async def _apply(self, res: Resource, obj: Object) -> None:
        written = await self._api.apply(res, obj, field_manager=MANAGER, force=True)
        WRITES.labels(res.kind, "apply").inc()
        self._take(res, written)

    async def _delete(self, res: Resource, obj: Object) -> None:
        meta = obj["metadata"]
        try:
            await self._api.delete(res, meta["name"], meta["namespace"], uid=meta.get("uid"))
        except (NotFound, Conflict):  # gone, or another one by now
            return
        WRITES.labels(res.kind, "delete").inc()

    def _take(self, res: Resource, obj: Object) -> None:
        """Know what was written before the watch says it, so that it isn't written twice."""
        key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
        if res is SERVICES:
            self._services.store[key] = strip(obj)
        else:
            kept = self._slices.store[key] = pack_slice(obj)
            put_in(self._by_service, kept)

    def _on_slice(self, type_: str, obj: PackedSlice, previous: PackedSlice | None) -> None:
        for known in (previous, obj):
            if known is not None:
                take_out(self._by_service, known)
        if type_ != "DELETED":
            put_in(self._by_service, obj)
        self._changed()


class _Unpacked(Mapping[Key, Mapping[str, Object]]):
    """The slices of each Service as objects."""

    def __init__(self, kept: Mapping[Key, tuple[PackedSlice, ...]]) -> None:
        self._kept = kept

    def __getitem__(self, key: Key) -> Mapping[str, Object]:
        return {item.key[1]: item.unpack() for item in self._kept[key]}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


class StatusRow(NamedTuple):
    """An object's key, what is kept of it, what its status comes from; then the object, and from it the status.

    While `kept` and `source` are the very same objects as the last time, nothing is loaded or computed.
    """

    key: Key
    kept: object
    source: object
    load: Callable[[], Object]
    status_of: Callable[[Object], Object]


class StatusWriter:
    """Writes statuses of one kind when they differ, at most once a second for each object."""

    def __init__(self, api: Api, res: Resource) -> None:
        self._api = api
        self._res = res
        self._last: dict[Key, float] = {}
        self._clean: dict[Key, tuple[Any, ...]] = {}

    async def write(self, rows: Iterable[StatusRow]) -> bool:
        """Write what differs. False: something is left for later."""
        now, work, late, breath = time.monotonic(), [], False, Breath()
        before, self._clean = self._clean, {}
        for row in rows:
            key, mark = row.key, (row.kept, row.source)
            if _is(before.get(key), mark):
                self._clean[key] = mark
                continue
            await breath.take()
            obj = row.load()
            status = row.status_of(obj)
            if _same(obj.get("status") or {}, status):
                self._clean[key] = mark
            elif now - self._last.get(key, float("-inf")) < _STATUS_EVERY:
                late = True
            else:
                self._last[key] = now
                work.append(partial(self._write, obj, status))
        return await _in_batches(work) and not late

    async def _write(self, obj: Object, status: Object) -> None:
        res, meta = self._res, obj["metadata"]
        body = {
            "apiVersion": res.api_version,
            "kind": res.kind,
            "metadata": {name: meta[name] for name in ("name", "namespace", "uid") if name in meta},
            "status": status,
        }
        try:
            await self._api.apply(res, body, field_manager=STATUS_MANAGER, force=True, subresource="status")
        except (NotFound, Conflict):  # gone, or another one of this name by now
            return


def _same(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Compare all fields but conditions that are somebody else's."""
    types = {item["type"] for item in wanted.get("conditions") or ()}
    ours = sorted((c for c in live.get("conditions") or () if c.get("type") in types), key=lambda c: str(c["type"]))
    return {**live, "conditions": ours} == {**wanted}


def _is(old: tuple[Any, ...] | None, new: tuple[Any, ...]) -> bool:
    """Tell whether both hold the very same objects."""
    return old is not None and len(old) == len(new) and all(a is b for a, b in zip(old, new, strict=True))


async def _in_batches(work: Iterable[Callable[[], Awaitable[None]]]) -> bool:
    """Run everything, so many at a time; True when nothing failed. What failed is logged once for each text."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def run(item: Callable[[], Awaitable[None]]) -> None:
        async with gate:
            await item()  # not begun before: who is cancelled meanwhile leaves no coroutine that nobody awaits

    results = await asyncio.gather(*(run(item) for item in work), return_exceptions=True)
    errors = {str(result): result for result in results if isinstance(result, BaseException)}
    for text, error in errors.items():
        if not isinstance(error, ApiError):
            raise error
        log.warning("can't be written to the centre", error=text)
    return not errors
