"""From policies to gateways, with the operator as a process: policies become values, a release, a ConfigMap."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from clusters_lab import add_member, apply, has, policy, prepare, until
from clusters_lab import at_work as cluster_half
from gateway_operator.clusters.acknowledgement import PODS
from gateway_operator.clusters.connection import SERVICES
from gateway_operator.clusters.members import CONFIG_MAPS, MEMBERS, SECRETS
from gateway_operator.clusters.service import NGINXES, POLICIES
from gateway_operator.errors import NotFound
from gateway_operator.ingress.applied import Applied, AppliedState
from gateway_operator.ingress.metrics import Metrics
from gateway_operator.ingress.options import parse_flags
from gateway_operator.ingress.server import make_app
from gateway_operator.kube import Api
from gateway_operator.releases import names
from gateway_operator.releases.traffic import KEPT
from gateway_operator.traffic.config import CONFIG_KEY, SplitConfig, parse
from lab.apiserver import ApiCluster
from operator_process import Operator, free_port, operator

ROOT = Path(__file__).resolve().parents[2]
METRICS = Metrics(controller_class="x", namespace="x", pod="x", version="x")
PATIENCE = 120.0
SAMPLE = ROOT / "docs" / "samples" / "clustertrafficpolicy.yaml"


@pytest.fixture(scope="module")
def centre(api_cluster: ApiCluster) -> ApiCluster:
    """The cluster with our kinds."""
    prepare(api_cluster)
    return api_cluster


@pytest.fixture
async def home(api: Api, centre: ApiCluster, namespace: str) -> AsyncIterator[str]:
    """A namespace with a gateway in it; no test sees another's members, policies and gateways."""
    await apply(api, nginx(namespace, "edge", watchIngressWithoutClass=True))
    yield namespace
    for res in (POLICIES, MEMBERS, NGINXES):
        for item in (await api.list(res)).items:
            meta = item["metadata"]
            if meta.get("finalizers"):
                await api.merge_patch(res, meta["name"], {"metadata": {"finalizers": None}}, meta.get("namespace"))
            await api.delete(res, meta["name"], meta.get("namespace"))


def nginx(namespace: str, name: str, ingress_class: str = "nginx", **controller: Any) -> dict[str, Any]:
    """Write an Nginx of our image, whose release has no object outside its namespace."""
    image = {"repository": "x/gateway-operator", "tag": "1"}
    values = {"image": image, "ingressClassResource": {"name": ingress_class, "enabled": False}, **controller}
    return {
        "apiVersion": NGINXES.api_version,
        "kind": "Nginx",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"fullnameOverride": name, "controller": values, "rbac": {"create": False}},
    }


@contextmanager
def at_work(centre: ApiCluster, home: str, helm: Path) -> Iterator[Operator]:
    """Run the operator with the rows of the image."""
    rows = ["--watches-path", str(ROOT / "watches.yaml"), "--namespace", home]
    with operator(centre, home, *rows, helm=helm) as running:
        running.wait(lambda: running.leads)
        yield running


async def told(api: Api, home: str, name: str = "edge") -> SplitConfig | None:
    """Return the split config of a gateway, None where there is none."""
    try:
        found = await api.get(CONFIG_MAPS, f"{name}-multicluster", home)
    except NotFound:
        return None
    return parse(found["data"][CONFIG_KEY])


async def revisions(api: Api, home: str, name: str = "edge") -> list[dict[str, str]]:
    """Return the labels of a release's records, oldest first."""
    found = (await api.list(SECRETS, home, label_selector=f"owner=helm,name={name}")).items
    return sorted((one["metadata"]["labels"] for one in found), key=lambda labels: int(labels["version"]))


async def settled_revisions(api: Api, home: str) -> list[dict[str, str]]:
    """Return the same once the newest is deployed."""
    found = await revisions(api, home)
    return found if found and found[-1]["status"] == "deployed" else []


def weights(config: SplitConfig | None) -> list[list[int | None]]:
    """Return the weights of each policy's first path."""
    found = [one.paths[0].backend for one in config.policies] if config else []
    return [[cluster.weight for cluster in backend.clusters] for backend in found if backend]


async def weighs(api: Api, home: str, *wanted: list[int | None]) -> bool:
    """Tell whether a gateway has been told these weights."""
    return weights(await told(api, home)) == list(wanted)


async def test_the_sample_flows_through(api: Api, centre: ApiCluster, home: str, helm_binary: Path) -> None:
    """The seed's sample applies unchanged and reaches the gateway; an unreachable member hinders nothing."""
    sample = yaml.safe_load(SAMPLE.read_text())
    centre.kubectl("apply", "-n", home, "-f", "-", input=json.dumps(moved(sample, home)))
    for name in ("wuhan", "zhuhai"):
        await add_member(api, home, name, centre.kubeconfig.read_text().replace("127.0.0.1:", "127.0.0.1:1"))
    with at_work(centre, home, helm_binary) as running:

        async def arrived() -> bool:
            config = await told(api, home)
            return config is not None and bool(config.policies[0].paths[0].backend)

        await until(arrived, "the split config")
        config = await told(api, home)
        assert config is not None
        assert [(path.where, path.host, path.type, path.path) for path in config.policies[0].paths] == [
            ("spec.rules[0].http.paths[0]", "cafe.example.com", "Prefix", "/tea"),
            ("spec.defaultBackend", "", "Default", ""),
        ]
        backend = config.policies[0].paths[0].backend
        assert backend is not None
        assert [(one.name, one.weight, one.mirror[:4]) for one in backend.clusters] == [
            ("wuhan", 80, "ctp-"),
            ("zhuhai", 20, "ctp-"),
        ]
        await until(lambda: mirrored_by_helm(api, home, 3), "the mirror Services")
        clusters = running.report()["clusters"]
        assert clusters["gateways"] == {f"{home}/edge": config.digest}
        assert clusters["members"]["wuhan"]["connected"] is False


async def mirrored_by_helm(api: Api, home: str, count: int) -> bool:
    """Tell whether the chart has made so many mirror Services."""
    found = (await api.list(SERVICES, home, label_selector="k8s.nginx.org/mirror=true")).items
    assert all(one["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm" for one in found)
    assert all(one["spec"]["clusterIP"] == "None" and "selector" not in one["spec"] for one in found)
    return len(found) == count


def moved(sample: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Return the sample in another namespace, its services beside it."""
    text = json.dumps(sample).replace('"namespace": "default"', f'"namespace": "{namespace}"')
    return dict(json.loads(text))


async def test_a_change_is_a_revision_and_nothing_else_is(
    api: Api, centre: ApiCluster, home: str, helm_binary: Path
) -> None:
    """A weight makes one revision, marked so; a restart makes none; the last policy takes the ConfigMap with it."""
    await apply(api, policy(home, {"wuhan": 80, "zhuhai": 20}))
    with at_work(centre, home, helm_binary):
        await until(lambda: weighs(api, home, [80, 20]), "the first config")
        await apply(api, policy(home, {"wuhan": 60, "zhuhai": 40}))
        await until(lambda: weighs(api, home, [60, 40]), "the second config")
        before = await until(lambda: settled_revisions(api, home), "helm's end")
        assert before[-1][names.CAUSE_LABEL] == names.TRAFFIC
        deployment = centre.kubectl(
            "get", "deploy", "-n", home, "edge-controller", "-o", "jsonpath={.metadata.generation}"
        )
        assert deployment.strip() == "1", "a policy restarts no pod"
    with at_work(centre, home, helm_binary) as again:
        again.wait(lambda: bool(again.report().get("clusters", {}).get("known")))

        async def settled() -> bool:
            return (await api.get(NGINXES, "edge", home)).get("status", {}).get("observedGeneration") == 1

        await until(settled, "a pass")
        assert await revisions(api, home) == before
        assert await weighs(api, home, [60, 40])
        await api.delete(POLICIES, "cafe", home)

        async def gone() -> bool:
            return await told(api, home) is None

        await until(gone, "the end of the ConfigMap")


@pytest.mark.long
async def test_weights_push_out_nobody_s_revisions(
    api: Api, centre: ApiCluster, home: str, helm_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After more weights than Helm keeps revisions, the two that people made are there, and five of traffic."""
    monkeypatch.setenv("GATEWAY_OPERATOR_HISTORY_MAX", "2")
    await apply(api, policy(home, {"wuhan": 1}))

    async def deployed(revision: int) -> list[dict[str, str]]:
        found = await settled_revisions(api, home)
        return found if found and int(found[-1]["version"]) >= revision else []

    with at_work(centre, home, helm_binary):
        await until(lambda: weighs(api, home, [1]), "the first config", PATIENCE)
        first = await until(lambda: deployed(1), "the first revision", PATIENCE)
        await apply(api, nginx(home, "edge", watchIngressWithoutClass=True, replicaCount=2))
        newest = int(first[-1]["version"]) + 1
        people = [one["version"] for one in await until(lambda: deployed(newest), "a person's revision", PATIENCE)][-2:]
        for weight in range(2, KEPT + 4):
            await apply(api, policy(home, {"wuhan": weight}))
            newest += 1
            await until(partial(deployed, newest), f"revision {newest}", PATIENCE)
            assert await weighs(api, home, [weight])
        left = await revisions(api, home)
    by_traffic = [one["version"] for one in left if one.get(names.CAUSE_LABEL) == names.TRAFFIC]
    assert [one["version"] for one in left if one["version"] not in by_traffic] == people
    assert [int(version) for version in by_traffic] == list(range(newest - KEPT + 1, newest + 1))


async def test_each_gateway_gets_its_own(api: Api, centre: ApiCluster, home: str, helm_binary: Path) -> None:
    """Class and image decide; of two policies for one place the older serves, and the younger takes over."""
    await apply(
        api,
        nginx(home, "inner", "inner"),
        nginx(home, "alien", image={"repository": "x/controller"}, watchIngressWithoutClass=True),
    )
    mine, other = policy(home, {"wuhan": 1}), policy(home, {"zhuhai": 1}, name="other")
    other["spec"]["ingressClassName"] = "inner"
    young = copy.deepcopy(mine)
    young["metadata"]["name"] = "young"
    await apply(api, mine, other)
    with at_work(centre, home, helm_binary):

        async def apart() -> bool:
            found = [await told(api, home, name) for name in ("edge", "inner")]
            return [[one.name for one in config.policies] for config in found if config] == [["cafe"], ["other"]]

        await until(apart, "a config for each")
        assert await told(api, home, "alien") is None
        await apply(api, young)
        await until(lambda: has(api, "young", "Accepted", "False", "Conflicted", namespace=home), "the loser")
        rival = f"ClusterTrafficPolicy {home}/young"
        await until(lambda: wanted_by(api, home, "cafe", [rival]), "the winner's word")
        await api.delete(POLICIES, "cafe", home)

        async def taken_over() -> bool:
            config = await told(api, home)
            return config is not None and [one.name for one in config.policies] == ["young"]

        await until(taken_over, "the loser's turn")
        await until(lambda: wanted_by(api, home, "young", []), "nobody else's")


async def wanted_by(api: Api, home: str, name: str, rivals: list[str]) -> bool:
    """Tell whether a policy is accepted, and says who else wants its first path."""
    found = ((await api.get(POLICIES, name, home)).get("status") or {}).get("backends") or [{}]
    accepted = await has(api, name, "Accepted", "True", namespace=home)
    return accepted and found[0].get("conflictsWith", []) == rivals


@asynccontextmanager
async def gateway_pod(api: Api, home: str, name: str = "edge") -> AsyncIterator[AppliedState]:
    """A ready pod of a gateway as the API server knows it, behind it the real port; says what it has applied."""
    state = AppliedState()
    app = make_app(parse_flags([], {}), METRICS, state, why_not_ready=_ready, numbers=_no_numbers)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port := free_port()).start()
    labels = {"component": "controller", "managed-by": "Helm", "instance": name}
    probe = {"httpGet": {"path": "/readyz", "port": port}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-pod",
            "namespace": home,
            "labels": {f"app.kubernetes.io/{key}": value for key, value in labels.items()},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "controller", "image": "x", "readinessProbe": probe}],
        },
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": home}}
    await apply(api, account, pod)
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "podIP": "127.0.0.1", "phase": "Running"}
    await api.merge_patch(PODS, f"{name}-pod", {"status": ready}, home, subresource="status")
    try:
        yield state
    finally:
        await runner.cleanup()
        await api.raw("DELETE", PODS.path(home, f"{name}-pod"), body={"gracePeriodSeconds": 0})


async def _ready() -> str:
    return ""


async def _no_numbers() -> Any:
    raise NotImplementedError


async def test_programmed_is_what_pods_acknowledge(api: Api, home: str) -> None:
    """No gateway, no ready pod, no word yet, served, lost to an Ingress: each is said, and of who is meant only."""
    homeless = policy(home, {"wuhan": 1}, name="homeless")
    homeless["spec"]["ingressClassName"] = "nobody"
    await apply(api, policy(home, {"wuhan": 1}), policy(home, {"wuhan": 1}, name="other"), homeless)

    def says(name: str, value: str, reason: str, type_: str = "Programmed") -> Awaitable[bool]:
        return has(api, name, type_, value, reason, namespace=home)

    async with cluster_half(api, home) as work:
        await until(lambda: says("homeless", "False", "NoGateway"), "nobody serves it")
        await until(lambda: says("cafe", "False", "GatewayNotReady"), "no pod")
        async with gateway_pod(api, home) as state:
            await until(lambda: says("cafe", "False", "Pending"), "no word")
            assert work.assignments
            state.set(Applied(splits=work.assignments[home, "edge"].digest))
            await until(lambda: says("cafe", "True", "Programmed"), "its word")
            await apply(api, policy(home, {"wuhan": 2}, name="other"))
            await until(lambda: says("other", "False", "Pending"), "a change")
            assert await says("cafe", "True", "Programmed")
            lost = (f"{home}/other", "spec.rules[0].http.paths[0]", "Conflicted", "Ingress a/b has it, it is older")
            state.set(Applied(splits=work.assignments[home, "edge"].digest, split_problems=(lost,)))
            await until(lambda: says("other", "False", "Conflicted", "Accepted"), "the loser")
            await until(lambda: says("other", "True", "Programmed"), "its word again")
            won = (f"{home}/other", "spec.rules[0].http.paths[0]", "Ingress a/young")
            state.set(Applied(splits=work.assignments[home, "edge"].digest, contests=(won,)))

            await until(lambda: wanted_by(api, home, "other", ["Ingress a/young"]), "the winner's word")
        await until(lambda: says("cafe", "False", "GatewayNotReady"), "the pod is gone")
