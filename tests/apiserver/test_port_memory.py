"""A gateway that is deleted and made again has its node ports again, as far as they can be had (R16)."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from gateway_operator.crds.manifests import all_yaml
from gateway_operator.gateways import node_ports
from gateway_operator.kube import Api
from gateway_operator.releases.gateways import GatewayKind, NginxKind
from gateway_operator.releases.port_memory import LABEL, memory_name
from gateway_operator.settings import OperatorSettings
from lab.apiserver import ApiCluster
from releases_lab import World, eventually

ROOT = Path(__file__).resolve().parents[2]
GROUP = "gateway.kubesphere.io"
VERSION = f"{GROUP}/v1alpha1"
KINDS = {(GROUP, "Gateway"): GatewayKind(), (GROUP, "Nginx"): NginxKind()}


class Place(World):
    """A working namespace and a project whose gateway comes and goes."""

    project: str
    name: str

    def own(self) -> OperatorSettings:
        """Settings with the rows that the image ships."""
        rows = [
            {"group": GROUP, "version": "v1alpha1", "kind": kind, "chart": str(ROOT / "charts" / name)}
            for kind, name in (("Nginx", "ingress-nginx"), ("Gateway", "gateway"))
        ]
        settings = self.settings(*rows, watch_namespaces=(self.namespace,), adopt_crds=True)
        chosen = {"namespace": self.namespace, "repository": "example.com/gateway-operator", "tag": "1"}
        return settings.model_copy(update={"gateway": settings.gateway.model_copy(update=chosen)})

    async def on(self) -> dict[str, Any]:
        """Make the gateway."""
        scope = {"enabled": True, "namespace": self.project}
        spec = {"controller": {"scope": scope}, "service": {"type": "NodePort"}}
        return await self.create(VERSION, "Gateway", self.name, spec=spec)

    async def off(self) -> None:
        """Delete it and wait until it is gone."""
        await self.delete(VERSION, "Gateway", self.name)
        await eventually(lambda: self.gone(VERSION, "Gateway", self.name))

    async def ports(self) -> dict[str, int]:
        """Wait until the Service is there and the status tells its ports."""

        async def asked() -> dict[str, int]:
            service = await self.get("v1", "Service", self.name)
            gateway = await self.get(VERSION, "Gateway", self.name)
            found = {port["name"]: port["nodePort"] for port in service["spec"]["ports"]}
            assert node_ports.told(gateway["status"]) == found
            return found

        return await eventually(asked)

    async def remember(self, text: str, uid: str) -> None:
        """Write a memory of the gateway of this place."""
        data = {"nodePorts": text, "project": self.project, "scope": "Project", "projectUid": uid}
        name = memory_name(self.name)
        await self.create("v1", "ConfigMap", name, data=data, metadata={"labels": {LABEL: "Project"}})


@pytest.fixture
async def place(api: Api, api_cluster: ApiCluster, tmp_path: Path, helm_binary: Path) -> Place:
    """A place on the shared API server."""
    api_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=all_yaml())
    api_cluster.kubectl("wait", "--for=condition=Established", "crd/gateways.gateway.kubesphere.io", "--timeout=30s")
    made = Place(api, api_cluster.kubeconfig, tmp_path, helm_binary)
    await made.prepare()
    made.project = f"shop-{uuid.uuid4().hex[:6]}"
    made.name = f"gw-{made.project}"
    await made.create("v1", "Namespace", made.project, namespace=None)
    return made


async def test_kk5660_kk4381_kk5368_on_again_at_the_same_node_ports(place: Place) -> None:
    """Off and on again: the ports of before; one that another Service has taken is told, and hinders nothing."""
    async with place.engine(place.own(), kinds=KINDS):
        await place.on()
        first = await place.ports()
        await place.off()
        memory = await place.get("v1", "ConfigMap", memory_name(place.name))
        assert memory["data"]["nodePorts"] == node_ports.text_of(first)
        assert memory["metadata"]["ownerReferences"][0]["name"] == place.project
        taken = {"name": "x", "port": 1, "nodePort": first["https"]}
        await place.create("v1", "Service", "other", spec={"type": "NodePort", "ports": [taken]})
        await place.on()
        second = await place.ports()
        assert second["http"] == first["http"]
        assert second["https"] != first["https"]
        gateway = await place.get(VERSION, "Gateway", place.name)
        assert node_ports.of(gateway) == f"http={first['http']}"
        assert await place.gone("v1", "ConfigMap", memory_name(place.name))

        (told,) = await eventually(lambda: place.events("NodePortsTaken"))
        assert f"https={first['https']}" in told


async def test_kk5660_a_later_project_of_the_same_name_gets_no_ports(place: Place) -> None:
    """What was remembered is of that very Namespace: with another one's UID it is dropped, and with its own it goes."""
    await place.remember("http=32101", uid="of-an-older-project")
    async with place.engine(place.own(), kinds=KINDS):
        await place.on()
        assert (await place.ports())["http"] != 32101
        assert await place.gone("v1", "ConfigMap", memory_name(place.name))
        await place.off()
    memory = await place.get("v1", "ConfigMap", memory_name(place.name))
    project = await place.get("v1", "Namespace", place.project, None)
    assert memory["metadata"]["ownerReferences"][0]["uid"] == project["metadata"]["uid"]


async def test_a_config_map_of_somebody_is_left_alone(place: Place) -> None:
    """One that happens to have the name of a memory is neither read, nor written, nor deleted, and hinders nothing."""
    data = {"nodePorts": "http=32102", "project": place.project, "scope": "Project"}
    made = await place.create("v1", "ConfigMap", memory_name(place.name), data=data)
    async with place.engine(place.own(), kinds=KINDS):
        await place.on()
        assert (await place.ports())["http"] != 32102
        await place.off()
    left = await place.get("v1", "ConfigMap", memory_name(place.name))
    assert (left["metadata"]["resourceVersion"], left["data"]) == (made["metadata"]["resourceVersion"], data)
