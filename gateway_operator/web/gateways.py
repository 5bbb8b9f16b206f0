"""All Gateways of the cluster, from one watch: no request for a list or a gateway asks the API server for objects.

An answer is never guessed: before the first complete list everything that depends on it is 503.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from gateway_operator.crds.base import API_VERSION
from gateway_operator.errors import ApiError, KindNotServed
from gateway_operator.gateways.naming import service_name
from gateway_operator.kube import Api, Informer, Resource
from gateway_operator.kube.informer import key_of
from gateway_operator.observe.tenant import Tenant
from gateway_operator.settings import GatewaySettings
from gateway_operator.telemetry import get_logger
from gateway_operator.web.actions import CLUSTER_URL_NAMESPACE
from gateway_operator.web.caches import Memory
from gateway_operator.web.entries import Entry
from gateway_operator.web.problems import Problem

log = get_logger(__name__)
Object = dict[str, Any]
Change = tuple[str, Entry]  # ADDED, MODIFIED or DELETED, and the gateway
_BACKLOG = 1000  # changes that one follower may be behind
_RETRY_SECONDS = 2.0
_WAITS, _WAIT_SECONDS = 100, 0.02
_PROJECTS, _PROJECT_SECONDS = 4096, 10.0


class Gateways:
    """The cache, looked at by project, and what changes in it."""

    def __init__(self, api: Api, settings: GatewaySettings) -> None:
        self.api = api
        self.settings = settings
        self._entries: dict[tuple[str, str], Entry] = {}
        self._informer: Informer | None = None
        self._projects: Memory[str, Object | None] = Memory(_PROJECTS, lambda found: _PROJECT_SECONDS if found else 0)
        self._followers: set[asyncio.Queue[Change | None]] = set()

    async def run(self) -> None:
        """Keep the cache until cancelled; a missing CRD or an API server that is away is waited for."""
        self._informer = Informer(self.api, await wait_for_kind(self.api, API_VERSION, "Gateway"), on_event=self._take)
        await self._informer.run()

    async def resource(self) -> Resource:
        """Return how Gateways are served. Raises KindNotServed, ApiError."""
        return await self.api.resource(API_VERSION, "Gateway")

    def problem(self) -> str | None:
        """Say why the cache isn't good, or None."""
        if self._informer is None:
            return "the Gateways were not read yet"
        return None if self._informer.synced.is_set() else self._informer.error or "the Gateways are being read"

    def all(self) -> list[Entry]:
        """Return every Gateway. Raises Problem 503 while they aren't known."""
        if self.problem():
            raise Problem(503, "GatewaysUnknown", "the Gateways can't be read now; try again", down="kubernetes")
        return list(self._entries.values())

    def of(self, namespace: str) -> list[Entry]:
        """Return the gateways of a project itself, or the cluster's; the oldest first. Raises Problem 503."""
        wanted = None if namespace == CLUSTER_URL_NAMESPACE else namespace
        return sorted((e for e in self.all() if e.project == wanted), key=lambda e: e.claim.age)

    def serving(self, namespace: str) -> list[Entry]:
        """Return the cluster's gateways and the project's own, as a project's page shows them. Raises Problem 503."""
        own = self.of(namespace)
        return own if namespace == CLUSTER_URL_NAMESPACE else [*self.of(CLUSTER_URL_NAMESPACE), *own]

    def find(self, namespace: str, name: str = "") -> Entry:
        """Return one gateway of a project itself, or of the cluster; without a name the only one.

        Raises Problem 404, 409 (several, and none has the usual name) or 503.
        """
        found = self.of(namespace)
        named = [entry for entry in found if entry.name == (name or default_name(namespace))]
        if named or (len(found) == 1 and not name):
            return (named or found)[0]
        if not found or name:
            what = f"gateway {name}" if name else "gateway"
            raise Problem(404, "NoGateway", f'"{namespace}" has no {what} of its own')
        names = [entry.name for entry in found]
        raise Problem(409, "SeveralGateways", f"say which gateway: {', '.join(names)}", names=names)

    async def tenant(self, namespace: str, name: str = "") -> Tenant:
        """Return on whose behalf logs and metrics of a gateway are asked for.

        A project without a gateway of its own sees its share of the cluster's. Raises Problem 404, 409 or 503.
        """
        if namespace == CLUSTER_URL_NAMESPACE:
            found = self.find(namespace, name)
            return replace(Tenant.cluster(found.name, found.claim.namespace), strangers=self._others(found))
        since = await self.project_since(namespace)
        found, own = self._view(namespace, name)
        tenant = Tenant.project(namespace, found.name, found.claim.namespace, own=own, since=since)
        return replace(tenant, strangers=self._others(found))

    def _others(self, entry: Entry) -> tuple[str, ...]:
        """Return the workloads of other gateways whose names begin as this one's does."""
        own, here = service_name(entry.name), entry.claim.namespace
        names = {service_name(other.name) for other in self.all() if other.claim.namespace == here}
        return tuple(sorted(name for name in names if name.startswith(f"{own}-")))

    async def project_since(self, namespace: str) -> datetime:
        """Return when a project was created. Raises Problem 404 or 503, ApiError."""
        project = _existing(await self._projects.get(namespace, lambda: self._project(namespace)), namespace)
        return datetime.fromisoformat(project["metadata"]["creationTimestamp"])

    async def project(self, namespace: str) -> Object:
        """Return a project as it is now, not from the cache. Raises Problem 404, ApiError."""
        return _existing(await self._project(namespace), namespace)

    def _view(self, namespace: str, name: str) -> tuple[Entry, bool]:
        """Return the gateway that a project looks at, and whether it is its own."""
        own, shared = self.of(namespace), self.of(CLUSTER_URL_NAMESPACE)
        named = [entry for entry in shared if entry.name == name]
        if named and not any(entry.name == name for entry in own):
            return named[0], False
        if shared and not own and name in {"", default_name(namespace)}:
            return self.find(CLUSTER_URL_NAMESPACE), False
        return self.find(namespace, name), True

    async def _project(self, namespace: str) -> Object | None:
        return await self.api.find(await self.api.resource("v1", "Namespace"), namespace)

    async def caught_up(self, obj: Object, *, gone: bool = False) -> None:
        """Wait a little until the cache knows of a write, so that whoever wrote can read it at once."""
        key, version = key_of(obj), obj["metadata"].get("resourceVersion", "")
        for _ in range(_WAITS):
            entry = self._entries.get(key)
            if gone and (entry is None or entry.obj["metadata"].get("deletionTimestamp")):
                return
            if not gone and entry is not None and _reached(entry.obj["metadata"]["resourceVersion"], version):
                return
            await asyncio.sleep(_WAIT_SECONDS)

    async def until_gone(self, entry: Entry, seconds: float) -> Entry | None:
        """Wait until a gateway is gone, and return it as it is if it isn't by then."""
        key, end = key_of(entry.obj), time.monotonic() + seconds
        with self.follow() as changes:
            while (now := self._entries.get(key)) is not None and now.claim.uid == entry.claim.uid:
                if (left := end - time.monotonic()) <= 0:
                    return now
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await changes.get()
        return None

    @contextmanager
    def follow(self) -> Iterator[asyncio.Queue[Change | None]]:
        """Give the changes from now on, for as long as the block; None: too many were missed, begin again."""
        queue: asyncio.Queue[Change | None] = asyncio.Queue(_BACKLOG)
        self._followers.add(queue)
        try:
            yield queue
        finally:
            self._followers.discard(queue)

    def _take(self, type_: str, obj: Object, _previous: Object | None) -> None:
        entry = Entry.of(obj, self.settings)
        if type_ == "DELETED":
            self._entries.pop(key_of(obj), None)
        else:
            self._entries[key_of(obj)] = entry
        for queue in self._followers:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait((type_, entry))


def _existing(project: Object | None, namespace: str) -> Object:
    if project is None:
        raise Problem(404, "NoProject", f'there is no project "{namespace}"')
    return project


def _reached(have: str, wanted: str) -> bool:
    """Compare resourceVersions, which are numbers wherever we have met them."""
    return int(have) >= int(wanted) if have.isdigit() and wanted.isdigit() else have == wanted


async def wait_for_kind(api: Api, api_version: str, kind: str) -> Resource:
    """Return how a kind is served, as soon as it is; a missing CRD or an API server that is away is said once."""
    told = ""
    while True:
        try:
            return await api.resource(api_version, kind)
        except (ApiError, KindNotServed) as error:
            if told != str(error):
                log.warning("a kind can't be read", kind=kind, error=str(error))
            told = str(error)
        await asyncio.sleep(_RETRY_SECONDS)


def default_name(namespace: str) -> str:
    """Return the name that KubeSphere gives a project's gateway, or the cluster's."""
    return f"kubesphere-router-{namespace}"
