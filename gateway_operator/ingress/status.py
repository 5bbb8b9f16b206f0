"""Writes the gateway's address into the status of its Ingresses, and knows when to leave that to another gateway.

Only the leader writes, by server-side apply and never by force: a conflict means that another gateway serves that
Ingress, and it yields. A project's gateway speaks for its namespace, so a cluster gateway abstains in the namespaces
that its ConfigMap lists as `status-excluded-namespaces` and releases what it wrote there. Owners that are gone are
released in their name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from gateway_operator.errors import ApiError, Conflict, Forbidden, NotFound
from gateway_operator.ingress import addresses
from gateway_operator.ingress.addresses import Address
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.sources import INGRESSES, NODES, PODS, Sources
from gateway_operator.kube import Api
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

MANAGERS = "gateway-ingress."
EVERY = 60.0
SOON = 2.0  # while there is no address: nobody tells when the first pod is ready
SETTLE = 0.2
_PER_REPLICA_LABELS = ("pod-template-hash", "controller-revision-hash", "pod-template-generation")


class StatusWriter:
    """Keeps the status of every Ingress that this gateway speaks for."""

    def __init__(self, api: Api, options: IngressOptions, sources: Sources) -> None:
        self._api = api
        self._options = options
        self._sources = sources
        self._wake = asyncio.Event()
        self._yielded: dict[str, str] = {}
        self._closed = False
        self._awaits = False
        self.excluded: frozenset[str] = frozenset()

    def wake(self) -> None:
        """Say that an Ingress, the published Service or the configuration changed."""
        self._wake.set()

    async def run(self) -> None:
        """Write while leading, until cancelled; a namespace's rights or an API server away are tried again."""
        while True:
            self._wake.clear()
            try:
                await self.sync()
            except ApiError as error:
                log.warning("status not written", error=str(error))
            try:
                async with asyncio.timeout(SOON if self._awaits else EVERY):
                    await self._wake.wait()
                await asyncio.sleep(SETTLE)
            except TimeoutError:
                self._yielded.clear()

    async def sync(self) -> None:
        """Bring all statuses to the gateway's address; nothing is written where nothing differs."""
        wanted = await self._addresses()
        self._awaits = not wanted
        if self._closed:
            return
        for ingress in self._sources.snapshot().ingresses:
            if ingress["metadata"].get("namespace") in self.excluded:
                await self._release(ingress)
            elif wanted or self._owns(ingress):
                await self._write(ingress, wanted)

    async def release_all(self) -> None:
        """Clear what this gateway wrote, unless another of its replicas still runs."""
        if await self._has_other_replicas():
            return
        self._closed = True  # or the writer would answer the release by writing again
        for ingress in self._sources.snapshot().ingresses:
            await self._release(ingress)

    async def _write(self, ingress: Mapping[str, Any], wanted: Sequence[Address]) -> None:
        current = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        meta = ingress["metadata"]
        if addresses.same(current, wanted) or self._yielded.get(meta["uid"]) == meta["resourceVersion"]:
            return
        body = _body(ingress) | {"status": {"loadBalancer": {"ingress": list(wanted)}}}
        try:
            await self._apply(body, self._options.field_manager)
        except Conflict as conflict:
            await self._settle(ingress, body, conflict)
        except NotFound:
            return

    async def _settle(self, ingress: Mapping[str, Any], body: dict[str, Any], conflict: Conflict) -> None:
        """Release owners that are gone and write again; yield to the others until the Ingress changes."""
        meta = ingress["metadata"]
        managers = {manager for manager, _ in conflict.conflicts}
        dead = {manager for manager in managers if self._is_gone(manager)}
        if dead and dead == managers:
            for manager in sorted(dead):
                await self._apply(_body(ingress), manager)
            await self._apply(body, self._options.field_manager)
            return
        self._yielded[meta["uid"]] = meta["resourceVersion"]
        log.info("status left to another owner", ingress=f"{meta['namespace']}/{meta['name']}", owners=sorted(managers))

    def _is_gone(self, manager: str) -> bool:
        """A project gateway wrote, but the namespace has none now: excluded namespaces never get here."""
        return self._options.scope == "cluster" and manager.startswith(f"{MANAGERS}project.")

    async def _release(self, ingress: Mapping[str, Any]) -> None:
        if self._owns(ingress):
            await self._apply(_body(ingress), self._options.field_manager)

    async def _apply(self, body: dict[str, Any], manager: str) -> None:
        await self._api.apply(INGRESSES, body, field_manager=manager, subresource="status")

    def _owns(self, ingress: Mapping[str, Any]) -> bool:
        return any(
            entry.get("manager") == self._options.field_manager and entry.get("subresource") == "status"
            for entry in ingress["metadata"].get("managedFields") or ()
        )

    async def _addresses(self) -> list[Address]:
        if self._options.publish_status_address:
            return addresses.from_flag(self._options.publish_status_address)
        if self._options.publish_service:
            return addresses.from_service(self._sources.service(self._options.publish_service))
        return addresses.from_pods(
            await self._replicas(), await self._nodes(), internal=self._options.report_node_internal_ip_address
        )

    async def _replicas(self) -> list[dict[str, Any]]:
        """All pods with the labels of this one, which is how upstream finds its own replicas."""
        namespace = self._options.pod_namespace
        own = await self._api.get(PODS, self._options.pod_name, namespace)
        labels = own["metadata"].get("labels") or {}
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if key not in _PER_REPLICA_LABELS)
        return (await self._api.list(PODS, namespace, label_selector=selector)).items if selector else [own]

    async def _nodes(self) -> dict[str, Any] | None:
        try:
            return {node["metadata"]["name"]: node for node in (await self._api.list(NODES)).items}
        except Forbidden:
            return None

    async def _has_other_replicas(self) -> bool:
        try:
            pods = await self._replicas()
        except ApiError:
            return False
        return any(
            pod["metadata"]["name"] != self._options.pod_name
            and not pod["metadata"].get("deletionTimestamp")
            and (pod.get("status") or {}).get("phase") in {"Running", "Pending"}
            for pod in pods
        )


def _body(ingress: Mapping[str, Any]) -> dict[str, Any]:
    """An apply without a status: it gives up every status field of its manager."""
    meta = ingress["metadata"]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
    }
