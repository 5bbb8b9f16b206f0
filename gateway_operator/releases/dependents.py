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
from gateway_operator.releases.objects import GroupVersionKind, ObjectId, release_of
from gateway_operator.releases.readiness import WORKLOADS
from gateway_operator.releases.records import ReleaseKey
from gateway_operator.releases.rows import is_newer

OnChange = Callable[[ReleaseKey, ObjectId, bool], None]  # release, object, whether it may have drifted

_SYNC_TIMEOUT = 10.0


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
                await asyncio.wait_for(asyncio.gather(*pending), _SYNC_TIMEOUT)

    async def _start(self, kind: GroupVersionKind) -> None:
        resource = await self._api.resource(kind.api_version, kind.kind)
        if kind in self._informers or self._group is None:  # another pass was faster
            return
        group = kind.api_version.rpartition("/")[0]
        scopes: tuple[str | None, ...] = (self._namespaces or (None,)) if resource.namespaced else (None,)
        self._informers[kind] = [
            Informer(
                self._api,
                resource,
                namespace=scope,
                label_selector=names.MANAGED_BY_HELM,
                metadata_only=(group, kind.kind) not in self._full,
                on_event=self._handler(kind),
            )
            for scope in scopes
        ]
        self._tasks[kind] = [self._group.create_task(i.run(), name=f"watch {kind.kind}") for i in self._informers[kind]]

    def _handler(self, kind: GroupVersionKind) -> Callable[[str, dict[str, Any], dict[str, Any] | None], None]:
        def on_event(type_: str, obj: dict[str, Any], previous: dict[str, Any] | None) -> None:
            release = release_of(obj) or (release_of(previous) if previous else None)
            if release is None:
                return
            meta = obj["metadata"]
            found = ObjectId(kind.api_version, kind.kind, meta.get("namespace") or "", meta["name"])
            if type_ == "DELETED":
                self._fresh.pop(found, None)
            self._on_change(release, found, suspicious(type_, obj, previous))

        return on_event

    def live(self, found: ObjectId) -> dict[str, Any] | None:
        """Return an object as last seen, its kind filled in; None when it isn't there."""
        kind = GroupVersionKind(found.api_version, found.kind)
        seen: dict[str, Any] | None = None
        for informer in self._informers.get(kind, []):
            seen = informer.store.get((found.namespace, found.name)) or seen
        fresh = self._fresh.get(found)
        if fresh is not None:
            if seen is not None and not is_newer(fresh, seen):
                del self._fresh[found]
            else:
                seen = fresh
        return {**seen, "apiVersion": found.api_version, "kind": found.kind} if seen is not None else None

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
        """Tell whether whole objects of this kind are held."""
        return (found.api_version.rpartition("/")[0], found.kind) in self._full

    async def refresh(self, ids: Iterable[ObjectId]) -> None:
        """Read objects that Helm just wrote: what the watch still holds may be the state before."""
        for found in ids:
            if self.is_full(found):
                resource = await self._api.resource(found.api_version, found.kind)
                self._fresh[found] = await self._api.get(resource, found.name, found.namespace or None)

    def errors(self) -> list[str]:
        """Say which kinds can't be watched now, and why."""
        return [f"{k.kind}: {i.error}" for k, informers in self._informers.items() for i in informers if i.error]


def _stays(obj: dict[str, Any]) -> bool:
    meta = obj["metadata"]
    policy = (meta.get("annotations") or {}).get("helm.sh/resource-policy", "")
    return bool(meta.get("deletionTimestamp")) or policy.strip().lower() == "keep"


def suspicious(type_: str, obj: dict[str, Any], previous: dict[str, Any] | None) -> bool:
    """Tell whether an event may mean drift: anything but a new status, a heartbeat or a first sight."""
    if type_ == "DELETED":
        return True
    if previous is None:
        return False
    new, old = obj["metadata"], previous["metadata"]
    if new.get("resourceVersion") == old.get("resourceVersion"):
        return False
    if any(new.get(part) != old.get(part) for part in ("generation", "labels", "annotations", "uid")):
        return True
    return "generation" not in new
