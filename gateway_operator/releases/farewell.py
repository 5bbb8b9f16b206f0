"""Lets the custom resources go when the operator itself is uninstalled: no finalizer may wait for nobody.

Helm takes the operator's Deployment and its rights away at once, and only then its pods are told to stop. So the
chart keeps one small role (`NAME-farewell`) and the ServiceAccount; a pod that is stopped because its Deployment is
gone takes the finalizers off, and then lets these go as well. Releases stay: gateways go on serving.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway_operator.errors import ApiError, Conflict, KindNotServed, NotFound
from gateway_operator.kube import Api, Resource
from gateway_operator.releases.finalizer import has_finalizer, remove_finalizers
from gateway_operator.releases.names import GROUP
from gateway_operator.releases.rows import Object
from gateway_operator.telemetry import get_logger

FAREWELL = f"{GROUP}/farewell"  # on the role: the ServiceAccount that goes with it
_AT_ONCE = 10
_TRIES = 5
_PATIENCE = 20.0  # longer than a lease
_POLL = 0.5
_RBAC = "rbac.authorization.k8s.io/v1"
_log = get_logger(__name__)


@dataclass(frozen=True)
class Home:
    """Where this operator is installed."""

    namespace: str
    deployment: str
    lease: tuple[str, str]  # namespace and name
    identity: str


class Kind(Protocol):
    """What is to be known of a kind: a row of watches.yaml has it."""

    @property
    def api_version(self) -> str:
        """Return `group/version`."""
        ...

    @property
    def kind(self) -> str:
        """Return the kind."""
        ...

    @property
    def selector(self) -> str:
        """Return the label selector of the objects; empty: all."""
        ...


@dataclass(frozen=True)
class Detached:
    """A custom resource that waits for nobody any more."""

    kind: str
    namespace: str
    name: str
    deleted: bool  # it was being deleted, and its release stays behind


async def say_farewell(api: Api, watches: Iterable[Kind], home: Home, *, namespaces: tuple[str, ...] = ()) -> bool:
    """Take our finalizers off everything if this operator has been uninstalled; returns whether it has.

    Called after the engine has ended. Never raises for what the API server says: the process is about to end.
    """
    try:
        if not await is_uninstalled(api, home):
            return False
        await _wait_for_leader(api, home)
        gone = await detach(api, watches, namespaces=namespaces)
        _log.info("operator is uninstalled: its objects wait for nobody, releases stay", objects=len(gone))
        for one in gone:
            if one.deleted:
                _log.warning("release stays of an object that was being deleted", kind=one.kind, name=one.name)
        await _dissolve(api, home)
    except (ApiError, KindNotServed) as error:
        _log.warning("farewell ended early; `gateway-operator detach` does the rest", error=str(error))
    return True


async def is_uninstalled(api: Api, home: Home) -> bool:
    """Tell whether our Deployment is gone or going. Raises ApiError."""
    deployments = await api.resource("apps/v1", "Deployment")
    found = await api.find(deployments, home.deployment, home.namespace)
    return found is None or bool(found["metadata"].get("deletionTimestamp"))


async def detach(
    api: Api, watches: Iterable[Kind], *, namespaces: tuple[str, ...] = (), dry_run: bool = False
) -> list[Detached]:
    """Remove our finalizers from every object of the rows; with `dry_run`, only say from what.

    Raises ApiError, after every row had its turn.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(resource: Resource, obj: Object) -> Detached | None:
        async with slots:
            return _detached(resource, obj) if dry_run else await _let_go(api, resource, obj)

    found: list[Detached] = []
    errors: list[ApiError] = []
    for watch in watches:
        try:
            resource = await api.resource(watch.api_version, watch.kind)
            objects = await attached(api, resource, watch.selector, namespaces)
            found += [d for d in await asyncio.gather(*(one(resource, o) for o in objects)) if d]
        except KindNotServed:
            continue
        except ApiError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return found


async def attached(api: Api, resource: Resource, selector: str, namespaces: tuple[str, ...]) -> list[Object]:
    """List the objects that carry our finalizer (metadata only). Raises ApiError."""
    scopes: tuple[str | None, ...] = (namespaces or (None,)) if resource.namespaced else (None,)
    found: list[Object] = []
    for scope in scopes:
        listing = await api.list(resource, scope, label_selector=selector, metadata_only=True)
        found += [obj for obj in listing.items if has_finalizer(obj)]
    return found


async def _let_go(api: Api, resource: Resource, obj: Object) -> Detached | None:
    meta = obj["metadata"]
    for attempt in range(_TRIES):
        try:
            await remove_finalizers(api, resource, obj)
        except NotFound:
            return None
        except Conflict:
            if attempt == _TRIES - 1:
                raise
            obj = await api.get(resource, meta["name"], meta.get("namespace"))
        else:
            return _detached(resource, obj)
    return None


def _detached(resource: Resource, obj: Object) -> Detached:
    meta = obj["metadata"]
    return Detached(resource.kind, meta.get("namespace", ""), meta["name"], bool(meta.get("deletionTimestamp")))


async def _wait_for_leader(api: Api, home: Home) -> None:
    """Wait until no other replica leads: its engine would put finalizers back."""
    leases = await api.resource("coordination.k8s.io/v1", "Lease")
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        spec = (await api.find(leases, home.lease[1], home.lease[0]) or {}).get("spec") or {}
        holder, renewed = spec.get("holderIdentity"), spec.get("renewTime")
        age = time.time() - datetime.fromisoformat(renewed).timestamp() if renewed else _PATIENCE
        if not holder or holder == home.identity or age > float(spec.get("leaseDurationSeconds") or 0):
            return
        await asyncio.sleep(_POLL)


async def _dissolve(api: Api, home: Home) -> None:
    """Remove what the chart kept for this: everything hangs on the role, and Kubernetes removes what hangs on it."""
    roles = await api.resource(_RBAC, "ClusterRole")
    name = f"{home.deployment}-farewell"
    role = await api.find(roles, name)
    if role is None or FAREWELL not in (role["metadata"].get("annotations") or {}):
        return
    owner = {"apiVersion": _RBAC, "kind": "ClusterRole", "name": name, "uid": role["metadata"]["uid"]}
    account = role["metadata"]["annotations"][FAREWELL]
    hanging: list[tuple[str, str, str, str | None]] = [(_RBAC, "ClusterRoleBinding", name, None)]
    if account:
        hanging.append(("v1", "ServiceAccount", account, home.namespace))
    for api_version, kind, what, namespace in hanging:
        resource = await api.resource(api_version, kind)
        await api.merge_patch(resource, what, {"metadata": {"ownerReferences": [owner]}}, namespace)
    await api.delete(roles, name, uid=role["metadata"]["uid"])
