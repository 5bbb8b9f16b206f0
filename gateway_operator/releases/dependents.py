"""Watches what releases made, so that a deleted or changed object is noticed at once.

One informer for each kind that any release contains, selected by Helm's label on the server. Of most kinds only
metadata is held; whole objects are needed of workloads, Services and custom resources of watched kinds, because the
status is made from them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from gateway_operator.errors import KindNotServed
from gateway_operator.kube import Api, Informer
from gateway_operator.releases import names
from gateway_operator.releases.comparison import stands
from gateway_operator.releases.objects import GroupVersionKind, ObjectId, is_kept, release_of
from gateway_operator.releases.readiness import WORKLOADS
from gateway_operator.releases.records import ReleaseKey
from gateway_operator.releases.rows import is_newer
from gateway_operator.releases.sightings import is_slim, proven, service, slim, suspicious, whole

OnChange = Callable[[ReleaseKey, ObjectId, bool], None]  # release, object, whether it may have drifted

_SYNC_TIMEOUT = 10.0
_READ_AT_ONCE = 16


class Dependents:
    """The informers, and what they hold."""

    def __init__(
        self, api: Api, *, on_change: OnChange, watched: Iterable[tuple[str, str]], namespaces: tuple[str, ...] = ()
    ) -> None:
        self._api = api
        self._on_change = on_change
        self._full = WORKLOADS | {("", "Service")} | set(watched)
        self._namespaces = namespaces
        self._informers: dict[GroupVersionKind, list[Informer]] = {}
        self._tasks: dict[GroupVersionKind, list[asyncio.Task[None]]] = {}
        self._fresh: dict[ObjectId, dict[str, Any]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def hold_whole(self, group: str, kind: str) -> None:
        """Keep whole objects of one more kind: it has got a row in watches.yaml."""
        self._full = self._full | {(group, kind)}
        for known in [k for k in self._informers if (k.api_version.rpartition("/")[0], k.kind) == (group, kind)]:
            for task in self._tasks.pop(known):
                task.cancel()
            del self._informers[known]
            await self._start(known)

    async def run(self) -> None:
        """Hold the informers until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    async def ensure(self, kinds: Iterable[GroupVersionKind]) -> None:
        """Watch `kinds` from now on, and wait for the first list of each."""
        wanted = set(kinds)
        for kind in wanted - self._informers.keys():
            with contextlib.suppress(KindNotServed):
                await self._start(kind)
        pending = [i.synced.wait() for k in wanted for i in self._informers.get(k, []) if not i.synced.is_set()]
        if pending:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SYNC_TIMEOUT):
                    await asyncio.gather(*pending)

    async def _start(self, kind: GroupVersionKind) -> None:
        resource = await self._api.resource(kind.api_version, kind.kind)
        if kind in self._informers or self._group is None:  # another pass was faster
            return
        full = (kind.api_version.rpartition("/")[0], kind.kind) in self._full
        scopes: tuple[str | None, ...] = (self._namespaces or (None,)) if resource.namespaced else (None,)
        self._informers[kind] = [
            Informer(
                self._api,
                resource,
                namespace=scope,
                label_selector=names.MANAGED_BY_HELM,
                metadata_only=not full,
                strip=_strip(kind) if full else slim,
                on_event=self._handler(kind),
            )
            for scope in scopes
        ]
        self._tasks[kind] = [self._group.create_task(i.run(), name=f"watch {kind.kind}") for i in self._informers[kind]]

    def _handler(self, kind: GroupVersionKind) -> Callable[[str, dict[str, Any], dict[str, Any] | None], None]:
        def on_event(type_: str, obj: dict[str, Any], previous: dict[str, Any] | None) -> None:
            meta = obj["metadata"]
            found = ObjectId(kind.api_version, kind.kind, meta.get("namespace") or "", meta["name"])
            fresh = self._fresh.get(found)
            if type_ == "DELETED" or (fresh is not None and not is_newer(fresh, obj)):
                self._fresh.pop(found, None)
            first = not all(informer.synced.is_set() for informer in self._informers[kind])
            may_have_drifted = suspicious(type_, obj, previous, first=first)
            releases = {release_of(obj), release_of(previous) if previous else None}  # somebody may have changed it
            for release in releases - {None}:
                self._on_change(release, found, may_have_drifted)  # type: ignore[arg-type]

        return on_event

    def live(self, found: ObjectId) -> dict[str, Any] | None:
        """Return an object as last seen, its kind filled in; None when it isn't there."""
        seen = self._seen(found)
        fresh = self._fresh.get(found)
        if fresh is not None:
            if seen is not None and not is_newer(fresh, seen):
                del self._fresh[found]
            else:
                seen = fresh
        return {**seen, "apiVersion": found.api_version, "kind": found.kind} if seen is not None else None

    def _seen(self, found: ObjectId) -> dict[str, Any] | None:
        seen: dict[str, Any] | None = None
        for informer in self._informers.get(GroupVersionKind(found.api_version, found.kind), []):
            seen = informer.store.get((found.namespace, found.name)) or seen
        return seen

    def stands(self, found: ObjectId, wanted: dict[str, Any]) -> bool:
        """Tell without a request whether an object certainly is what its chart says; False means: ask."""
        seen = self.live(found)
        return seen is not None and stands(wanted, *proven(seen))

    def made_by(self, release: ReleaseKey) -> list[ObjectId]:
        """Return what is left of a release among the watched kinds, without what is on its way out or to be kept."""
        return [
            ObjectId(kind.api_version, kind.kind, namespace, name)
            for kind, informers in self._informers.items()
            for informer in informers
            for (namespace, name), obj in informer.store.items()
            if release_of(obj) == release and not _stays(obj)
        ]

    def is_full(self, found: ObjectId) -> bool:
        """Tell whether this object is held whole, or would be."""
        if (found.api_version.rpartition("/")[0], found.kind) not in self._full:
            return False
        seen = self._seen(found)
        return seen is None or not is_slim(seen)

    async def refresh(self, ids: Iterable[ObjectId]) -> None:
        """Read objects that Helm just wrote: what the watch still holds may be the state before. Raises ApiError."""
        found = [one for one in ids if self.is_full(one)]
        for first in range(0, len(found), _READ_AT_ONCE):  # an open connection costs 256 KB
            await asyncio.gather(*map(self._refresh, found[first : first + _READ_AT_ONCE]))

    async def _refresh(self, found: ObjectId) -> None:
        resource = await self._api.resource(found.api_version, found.kind)
        if live := await self._api.find(resource, found.name, found.namespace or None):
            self.take(found, live)

    def take(self, found: ObjectId, obj: dict[str, Any]) -> None:
        """Take in an object that was just read or written, before the watch shows it."""
        if self.is_full(found):
            self._fresh[found] = _strip(GroupVersionKind(found.api_version, found.kind))(obj)

    def errors(self) -> list[str]:
        """Say which kinds can't be watched now, and why."""
        return [f"{k.kind}: {i.error}" for k, informers in self._informers.items() for i in informers if i.error]


def _strip(kind: GroupVersionKind) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what makes of an object of a kind that is held whole what is kept of it."""
    return service if kind == ("v1", "Service") else whole


def _stays(obj: dict[str, Any]) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp")) or is_kept(obj)
