"""A centre with a gateway that policies reach, the operator as a process, and pods that say what they serve."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from clusters_lab import apply, has, prepare
from gateway_operator.clusters.acknowledgement import PODS
from gateway_operator.clusters.members import MEMBERS
from gateway_operator.clusters.service import NGINXES, POLICIES
from gateway_operator.ingress.applied import AppliedState
from gateway_operator.ingress.metrics import Metrics
from gateway_operator.ingress.options import parse_flags
from gateway_operator.ingress.server import make_app
from gateway_operator.kube import Api
from lab.apiserver import ApiCluster
from lab.control import free_ports
from operator_process import Operator, operator

ROOT = Path(__file__).resolve().parents[2]
METRICS = Metrics(controller_class="x", namespace="x", pod="x", version="x")


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
    (port,) = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
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
