"""Remembers the node ports of a gateway that is deleted, for the next one of its name, scope and project.

They lie in a ConfigMap beside where the Gateway lay. One of a project belongs to that very Namespace and goes with it,
so that a later project of the same name gets nothing. When the Gateway is there again its ports become an annotation
of it, which its values are made of; ports that others took meanwhile are left out, with an Event.
"""

from __future__ import annotations

from typing import Any

from gateway_operator.crds.base import GROUP
from gateway_operator.errors import ApiError, Forbidden, NotFound
from gateway_operator.gateways import node_ports
from gateway_operator.gateways.claims import Claim, claim_of, mapping
from gateway_operator.gateways.naming import service_name
from gateway_operator.gateways.node_ports import NodePorts
from gateway_operator.kube import Api, Resource
from gateway_operator.names import short_name
from gateway_operator.releases.queue import Key
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.tools import Tools
from gateway_operator.telemetry import get_logger

LABEL = f"{GROUP}/node-ports-of"
MANAGER = "gateway-operator-ports"
_NAME_LIMIT = 200
_log = get_logger(__name__)


def memory_name(gateway: str) -> str:
    """Return the name of the ConfigMap with a gateway's ports."""
    return f"{short_name(gateway, _NAME_LIMIT)}-node-ports"


def is_memory(configmap: Object) -> bool:
    """Tell ours from a ConfigMap of somebody's that happens to have its name."""
    return LABEL in mapping(configmap, "metadata", "labels")


async def drop_memory(api: Api, namespace: str, gateway: str) -> None:
    """Forget the ports of a gateway. Raises ApiError."""
    configmaps = await api.resource("v1", "ConfigMap")
    try:
        found = await api.get(configmaps, memory_name(gateway), namespace)
        if is_memory(found):
            await api.delete(configmaps, memory_name(gateway), namespace, uid=found["metadata"]["uid"])
    except NotFound:
        return


class PortMemory:
    """Keeps and recalls; kinds whose rules have no `keeps_node_ports` are left alone."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._kept: set[Key] = set()  # whose ports this process has written down since they are being deleted

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone."""
        self._kept.discard(key)

    async def keep(self, key: Key, obj: Object) -> None:
        """Write down the ports of a Gateway that is being deleted. Nothing of it may stop the deletion."""
        ports = node_ports.told(obj.get("status") or {})
        if not self._concerns(key) or key in self._kept or not ports:
            return
        try:
            await self._write(claim_of(obj), ports)
            self._kept.add(key)
        except ApiError as error:
            _log.warning("node ports are not kept", object=str(key), error=str(error))

    async def recall(self, key: Key, row: Row, obj: Object, *, deployed: bool) -> Object:
        """Return a Gateway with the ports that it shall ask for; one that has its ports is left alone. Raises ApiError.

        Until it has them they are looked at again, as somebody may take one between this look and the install.
        """
        text = node_ports.of(obj)
        needs_none = text is None or mapping(obj, "spec", "service").get("type") == "ClusterIP"
        has_them = deployed and (needs_none or bool(node_ports.told(obj.get("status") or {})))
        if not self._concerns(key) or has_them:
            return obj
        claim = claim_of(obj)
        found = None if text is not None else await self._read(claim)
        if found is not None and await self._is_of(found, claim):
            text = mapping(found, "data").get("nodePorts", "")
        wanted, _ = node_ports.parse(text or "")
        free, lost = node_ports.without(wanted, await self._taken(claim)) if wanted else ({}, {})
        if lost:
            text = f"node ports that this gateway had are another Service's now: {node_ports.text_of(lost)}"
            self._tools.recorder.event(obj, type_="Warning", reason="NodePortsTaken", message=f"{text}; it gets others")
        if free != node_ports.parse(node_ports.of(obj) or "")[0]:
            obj = await self._annotate(row, obj, free)
        if found is not None:
            await drop_memory(self._tools.api, claim.namespace, claim.name)
        return obj

    def _concerns(self, key: Key) -> bool:
        return bool(getattr(self._tools.logic(key.row), "keeps_node_ports", False))

    async def _write(self, claim: Claim, ports: NodePorts) -> None:
        meta: Object = {
            "name": memory_name(claim.name),
            "namespace": claim.namespace,
            "labels": {LABEL: claim.scope},
        }
        data = {"nodePorts": node_ports.text_of(ports), "project": claim.project, "scope": claim.scope}
        if claim.project:
            project = await self._project(claim)
            if project is None:
                return  # it goes with its gateway
            uid = project["metadata"]["uid"]
            meta["ownerReferences"] = [{"apiVersion": "v1", "kind": "Namespace", "name": claim.project, "uid": uid}]
            data["projectUid"] = uid
        memory = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        await drop_memory(self._tools.api, claim.namespace, claim.name)
        await self._tools.api.create(await self._configmaps(), memory)  # refused where somebody else's has this name

    async def _read(self, claim: Claim) -> Object | None:
        try:
            found = await self._tools.api.find(await self._configmaps(), memory_name(claim.name), claim.namespace)
        except Forbidden:
            return None
        return found if found and is_memory(found) else None

    async def _is_of(self, memory: Object, claim: Claim) -> bool:
        """Tell whether a memory is of this gateway's place: scope, and project with its UID."""
        data = mapping(memory, "data")
        if (data.get("scope"), data.get("project") or "") != (claim.scope, claim.project):
            return False
        project = await self._project(claim) if claim.project else None
        return not claim.project or (project is not None and project["metadata"]["uid"] == data.get("projectUid"))

    async def _project(self, claim: Claim) -> Object | None:
        try:
            found = await self._tools.api.find(await self._tools.api.resource("v1", "Namespace"), claim.project)
        except Forbidden:
            return None
        return None if found is None or found["metadata"].get("deletionTimestamp") else found

    async def _taken(self, claim: Claim) -> set[int]:
        """Return the node ports of all Services but the gateway's own, as far as we may see them."""
        own = (claim.namespace, service_name(claim.name))
        resource = await self._tools.api.resource("v1", "Service")
        try:
            services = await self._tools.api.list(resource, each=lambda service: _ports(service, own))
        except Forbidden:
            return set()
        return {port for ports in services.items for port in ports}

    async def _annotate(self, row: Row, obj: Object, ports: NodePorts) -> Object:
        assert row.resource is not None  # noqa: S101 - an object came by it
        meta = obj["metadata"]
        patch = {
            "metadata": {
                "uid": meta["uid"],
                "annotations": {node_ports.ANNOTATION: node_ports.text_of(ports) if ports else None},
            }
        }
        made = await self._tools.api.merge_patch(
            row.resource, meta["name"], patch, meta["namespace"], field_manager=MANAGER
        )
        row.take("MODIFIED", made)
        return row.store.get((meta["namespace"], meta["name"]), made)

    async def _configmaps(self) -> Resource:
        return await self._tools.api.resource("v1", "ConfigMap")


def _ports(service: Any, own: tuple[str, str]) -> list[int]:
    meta, spec = service["metadata"], mapping(service, "spec")
    if (meta["namespace"], meta["name"]) == own:
        return []
    found = [port.get("nodePort") for port in spec.get("ports") or ()]
    return [int(port) for port in (*found, spec.get("healthCheckNodePort")) if port]
