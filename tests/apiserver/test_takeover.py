"""Releases that other tools made become ours in place: same Service, same node ports, one upgrade each."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway_operator.errors import AlreadyExists, Conflict
from gateway_operator.kube import Api
from gateway_operator.releases import names
from gateway_operator.releases.gateways import GatewayKind, NginxKind
from gateway_operator.releases.handover import handed_over, without
from lab.apiserver import ApiCluster
from releases_lab import CHARTS, World, conditions, eventually

ROOT = Path(__file__).resolve().parents[2]
GROUP = "gateway.kubesphere.io"
VERSION = f"{GROUP}/v1alpha1"
KINDS = {(GROUP, "Gateway"): GatewayKind(), (GROUP, "Nginx"): NginxKind()}
KEPT = ("uid", "clusterIP", "ports")


@pytest.fixture(scope="module")
def old_cluster(tmp_path_factory: pytest.TempPathFactory, helm_binary: Path):
    """A cluster of its own: first with KubeSphere's CRDs, then with our operator's chart installed over them."""
    cluster = ApiCluster.start(tmp_path_factory.mktemp("old"), "old")
    for kind, plural in (("Gateway", "gateways"), ("Nginx", "nginxes")):
        cluster.kubectl("apply", "-f", "-", input=json.dumps(_old_crd(kind, plural)))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    yield cluster
    cluster.stop()


def _old_crd(kind: str, plural: str) -> dict[str, Any]:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": "v1alpha1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": free, "status": free}}},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


class Old(World):
    """A world with releases that Helm 3 made, under whatever name its program has."""

    helm3: Path
    helm4: Path

    def foreign(
        self, *args: str, values: dict[str, Any] | None = None, program: str = "helm", four: bool = False
    ) -> None:
        command = ["helm", *args, "-n", self.namespace, *(["-f", "-"] if values is not None else [])]
        done = subprocess.run(
            [program, *command[1:]],
            executable=self.helm4 if four else self.helm3,
            input=json.dumps(values),
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def own(self, helm: str = "", **more: Any):
        """Settings with the rows that the image ships."""
        chart = str(ROOT / "charts")
        rows = [
            {"group": GROUP, "version": "v1alpha1", "kind": kind, "chart": f"{chart}/{name}"}
            for kind, name in (("Nginx", "ingress-nginx"), ("Gateway", "gateway"))
        ]
        settings = self.settings(*rows, watch_namespaces=(self.namespace,), adopt_crds=True, **more)
        gateway = settings.gateway.model_copy(
            update={"namespace": self.namespace, "repository": "example.com/gateway-operator", "tag": "1"}
        )
        return settings.model_copy(update={"gateway": gateway, "helm": helm or settings.helm})

    async def deployed(self, kind: str, name: str) -> dict[str, Any]:
        """Wait until a custom resource's release runs from what it says now."""

        async def asked() -> dict[str, Any]:
            obj = await self.get(VERSION, kind, name)
            found = conditions(obj)
            assert found.get("Deployed", {}).get("status") == "True", obj.get("status")
            assert found["Deployed"].get("observedGeneration") == obj["metadata"]["generation"], obj["status"]
            assert obj["status"].get("digest"), obj["status"]
            return obj

        return await eventually(asked, within=40)

    async def picture(self, name: str) -> dict[str, Any]:
        """What must not change: identities, addresses and ports."""
        service = await self.get("v1", "Service", name)
        deployment = await self.get("apps/v1", "Deployment", name)
        ports = {p["name"]: p["nodePort"] for p in service["spec"]["ports"]}
        return {
            "service": service["metadata"]["uid"],
            "clusterIP": service["spec"]["clusterIP"],
            "ports": ports,
            "type": service["spec"]["type"],
            "annotations": (service["metadata"].get("annotations") or {}).get("cloud.example.com/lb"),
            "deployment": deployment["metadata"]["uid"],
            "selector": deployment["spec"]["selector"],
        }


@pytest.fixture
async def old(old_cluster: ApiCluster, tmp_path: Path, helm_binary: Path, helm3_binary: Path):
    """A namespace on that cluster and a helm that is counted."""
    api = await Api.connect(old_cluster.kubeconfig)
    world = Old(api, old_cluster.kubeconfig, tmp_path, helm_binary)
    world.helm3, world.helm4 = helm3_binary, helm_binary
    await world.prepare()
    yield world
    await api.close()


def _leftovers(deployment: dict[str, Any]) -> list[str]:
    text = json.dumps(deployment["spec"]["template"])
    return [old for old in ("OLD_PRELOAD", "webhook-cert", "/etc/old", '"webhook"', "preStop") if old in text]


PLANTED = [("shop", True, "NodePort"), ("kubesphere-system", False, "LoadBalancer")]


@pytest.mark.parametrize(("project", "scoped", "type_"), PLANTED)
@pytest.mark.parametrize("program", ["helm", "ks-controller-manager"])
async def test_kk5231_a_gateway_of_kubesphere_becomes_ours_in_place(
    old: Old,
    project: str,
    scoped: bool,  # noqa: FBT001
    type_: str,
    program: str,
) -> None:
    """Gateway, Nginx and both releases stay what they were; each gets one upgrade, and deleting takes all away."""
    name = f"kubesphere-router-{project}"
    spec = {
        "controller": {"scope": {"enabled": scoped, "namespace": project if scoped else ""}, "config": {"a-b": "1m"}},
        "service": {"type": type_, "annotations": {"cloud.example.com/lb": "it"}},
        "deployment": {"replicas": 2},
    }
    nginx = f"{name}-ingress"
    with contextlib.suppress(AlreadyExists):
        await old.create("v1", "Namespace", project, namespace=None)
    await _plant(old, name, spec, program)
    before = await old.picture(name)
    identity = (await old.get(VERSION, "Nginx", nginx))["metadata"]["uid"]
    async with old.engine(old.own(), kinds=KINDS):
        await old.deployed("Gateway", name)
        obj = await old.deployed("Nginx", nginx)
        assert obj["metadata"]["uid"] == identity
        assert await old.picture(name) == before
        assert "ownerReferences" not in obj["metadata"]
        assert "oldKey" not in obj["spec"]["controller"]
        assert obj["spec"]["controller"]["config"] == {"a-b": "1m"}
        deployment = await old.get("apps/v1", "Deployment", name)
        assert _leftovers(deployment) == []
        assert "ownerReferences" not in deployment["metadata"]
        assert deployment["spec"]["replicas"] == 2
        assert [c["name"] for c in deployment["spec"]["template"]["spec"]["containers"]] == ["controller", "nginx"]
        assert [verb for _, verb, what in old.calls] == ["upgrade", "upgrade"], old.calls
        for release in (name, nginx):
            assert [r["metadata"]["labels"]["version"] for r in await old.records(release)] == ["1", "2"]
        await old.delete(VERSION, "Gateway", name)
        await eventually(lambda: old.gone(VERSION, "Gateway", name), within=40)
        assert await old.gone(VERSION, "Nginx", nginx)
        assert await old.gone("v1", "Service", name)
        assert await old.records(name) == await old.records(nginx) == []


async def _plant(old: Old, name: str, spec: dict[str, Any], program: str) -> None:
    """Make what KubeSphere 3.4 leaves: two custom resources and two releases."""
    finalizers = ["uninstall-helm-release"]
    gateway = await old.create(VERSION, "Gateway", name, spec=spec, metadata={"finalizers": finalizers})
    owner = {"apiVersion": VERSION, "controller": True, "blockOwnerDeletion": True}
    of_gateway = {**owner, "kind": "Gateway", "name": name, "uid": gateway["metadata"]["uid"]}
    old.foreign("install", name, str(CHARTS / "old-gateway"), values={**spec, "owner": of_gateway}, program=program)
    nginx = await old.get(VERSION, "Nginx", f"{name}-ingress")
    await old.patch(VERSION, "Nginx", nginx["metadata"]["name"], {"metadata": {"finalizers": finalizers}})
    of_nginx = {**owner, "kind": "Nginx", "name": nginx["metadata"]["name"], "uid": nginx["metadata"]["uid"]}
    values = {**nginx["spec"], "owner": of_nginx}
    old.foreign("install", nginx["metadata"]["name"], str(CHARTS / "old-ingress-nginx"), values=values, program=program)
    for kind, which in (("Gateway", name), ("Nginx", f"{name}-ingress")):
        status = {
            "conditions": [
                {"type": "Initialized", "status": "True", "lastTransitionTime": "2023-01-01T00:00:00Z"},
                {
                    "type": "Deployed",
                    "status": "True",
                    "reason": "InstallSuccessful",
                    "lastTransitionTime": "2023-01-01T00:00:00Z",
                },
            ],
            "deployedRelease": {"name": which, "manifest": "---\n# all of it\n"},
        }
        await old.patch(VERSION, kind, which, {"status": status}, subresource="status")


PLAIN = {
    "controller": {
        "replicaCount": 3,
        "config": {"proxy-body-size": "8m"},
        "service": {"type": "NodePort"},
        "ingressClassResource": {"enabled": True, "name": "CLASS", "controllerValue": "k8s.io/ingress-nginx"},
    }
}


async def test_a_plain_ingress_nginx_release_becomes_ours_by_an_nginx_of_its_name(old: Old) -> None:
    """With the values of before as its spec; Ingresses can be changed all the time, and the class stays."""
    name, plural = f"ing-{uuid.uuid4().hex[:6]}", f"class-{uuid.uuid4().hex[:6]}"
    values = json.loads(json.dumps(PLAIN).replace("CLASS", plural))
    old.foreign("install", name, str(CHARTS / "old-ingress-nginx"), values=values)
    controller, hook = f"{name}-ingress-nginx-controller", f"{name}-ingress-nginx-admission"
    before = await old.picture(controller)
    class_uid = (await old.get("networking.k8s.io/v1", "IngressClass", plural, None))["metadata"]["uid"]
    webhooks = ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", hook, None)
    assert (await old.get(*webhooks))["webhooks"][0]["failurePolicy"] == "Fail"
    async with old.engine(old.own(), kinds=KINDS):
        with old.held():  # helm has begun, and has changed nothing yet
            await old.create(VERSION, "Nginx", name, spec=values)
            await eventually(lambda: _calls(old))
            assert (await old.get(*webhooks))["webhooks"][0]["failurePolicy"] == "Ignore"
            assert await old.picture(controller) == before
        await old.deployed("Nginx", name)
        assert await old.picture(controller) == before
        deployment = await old.get("apps/v1", "Deployment", controller)
        assert _leftovers(deployment) == []
        assert deployment["spec"]["replicas"] == 3
        config = await old.get("v1", "ConfigMap", controller)
        assert config["data"] == {"proxy-body-size": "8m"}
        kept = await old.get("networking.k8s.io/v1", "IngressClass", plural, None)
        assert kept["metadata"]["uid"] == class_uid
        assert await old.gone(*webhooks)
        assert await old.gone("v1", "Service", f"{controller}-admission")
        assert [verb for _, verb, _ in old.calls] == ["upgrade"]
        await old.delete(VERSION, "Nginx", name)
        await eventually(lambda: old.gone(VERSION, "Nginx", name), within=60)
        assert await old.gone("v1", "Service", controller)
        assert await old.records(name) == []


async def _calls(old: Old) -> list[tuple[int, str, str]]:
    return [call for call in old.calls if call[1] == "upgrade"]


async def test_helm_three_takes_a_release_over_as_well(old: Old, helm3_binary: Path) -> None:
    """The operator with Helm 3 goes on patching, and nothing of the old chart stays either."""
    name = f"ing-{uuid.uuid4().hex[:6]}"
    values = json.loads(json.dumps(PLAIN).replace("CLASS", name))
    old.foreign("install", name, str(CHARTS / "old-ingress-nginx"), values=values, program="ks-controller-manager")
    controller = f"{name}-ingress-nginx-controller"
    before = await old.picture(controller)
    async with old.engine(old.own(helm=str(helm3_binary)), kinds=KINDS):
        await old.create(VERSION, "Nginx", name, spec=values)
        await old.deployed("Nginx", name)
        assert await old.picture(controller) == before
        assert _leftovers(await old.get("apps/v1", "Deployment", controller)) == []


async def test_a_release_of_another_chart_is_left_alone(old: Old) -> None:
    """An Nginx of that name is told so and nothing is changed."""
    name = f"web-{uuid.uuid4().hex[:6]}"
    old.foreign("install", name, str(CHARTS / "web"), values={"text": "mine"})
    async with old.engine(old.own(), kinds=KINDS):
        await old.create(VERSION, "Nginx", name, spec={})

        async def refused() -> bool:
            found = conditions(await old.get(VERSION, "Nginx", name))
            return found.get("Irreconcilable", {}).get("reason") == "ReleaseNameTaken"

        await eventually(refused)
        assert (await old.get("v1", "ConfigMap", name))["data"] == {"text": "mine"}
        assert old.calls == []


async def test_kk5880_kk5406_installing_the_operator_takes_the_crds_over_and_its_upgrade_changes_them(
    old: Old, tmp_path: Path
) -> None:
    """Objects stay through both; `--take-ownership` is all that the first step needs."""
    name = f"gw-{uuid.uuid4().hex[:6]}"
    await old.create(VERSION, "Gateway", name, spec={"service": {"type": "NodePort"}}, metadata={"finalizers": []})
    chart, where = ROOT / "charts" / "gateway-operator", ["--set", "gateway.createNamespace=false"]
    old.foreign("install", "op", str(chart), "--take-ownership", "--force-conflicts", *where, four=True)
    crd = await old.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"gateways.{GROUP}", None)
    assert crd["metadata"]["labels"]["app.kubernetes.io/part-of"] == "gateway-operator"
    newer = tmp_path / "gateway-operator"
    subprocess.run(["cp", "-r", str(chart), str(newer)], check=True)
    file = newer / "files" / "crds" / "gateways.yaml"
    changed = yaml.safe_load(file.read_text())
    changed["spec"]["names"]["shortNames"].append("newgw")
    file.write_text(yaml.safe_dump(changed))
    old.foreign("upgrade", "op", str(newer), *where, four=True)
    crd = await old.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"gateways.{GROUP}", None)
    assert "newgw" in crd["spec"]["names"]["shortNames"]
    old.foreign("uninstall", "op", four=True)
    assert (await old.get(VERSION, "Gateway", name))["spec"]["service"] == {"type": "NodePort"}
    with pytest.raises(Conflict):  # still served, by the CRD that stayed
        await old.create(VERSION, "Gateway", name, spec={})


def test_fields_go_from_one_manager_to_another() -> None:
    """What Helm applies leaves the entries of those who updated; status and the rest stay theirs."""
    assert without({"f:a": {}, "f:b": {"f:c": {}, "f:d": {}}}, {"f:a": {}, "f:b": {"f:c": {}}}) == {"f:b": {"f:d": {}}}
    assert without({"k:1": {".": {}, "f:n": {}}}, {"k:1": {".": {}, "f:n": {}}}) == {}
    update = {"manager": "ks", "operation": "Update", "fieldsV1": {"f:spec": {"f:x": {}, "f:y": {}}}}
    status = {**update, "subresource": "status"}
    helm = {"manager": names.HELM_MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:x": {}}}}
    live = {"metadata": {"managedFields": [update, status]}}
    assert handed_over(live, live) is None
    after = handed_over(live, {"metadata": {"managedFields": [update, helm]}})
    assert after == [{**update, "fieldsV1": {"f:spec": {"f:y": {}}}}, status, helm]
