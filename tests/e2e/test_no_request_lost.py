"""What changes behind a gateway, and the gateway itself, under connections that clients keep: no request is lost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from gateway_operator.kube import Api
from lab.demo import objects as demo
from lab.demo.target import Target
from tests.e2e import objects as o
from tests.e2e.kept import Kept

NAME = "kubesphere-router-shop"
HOST = demo.HOSTS["shop"]
MADE_NEW = "nginx_ingress_controller_nginx_reloads_total"
PACE = 0.1  # seconds between two changes


@pytest.fixture(scope="module")
def served(target: Target) -> Iterator[Target]:
    """A project gateway in front of ten pods, with TLS; tests leave its pods as many and as well as they like."""
    o.project(target, "shop")
    target.kubectl("scale", "deployment/shop", "-n", "shop", "--replicas=10")
    target.kubectl("rollout", "status", "deployment/shop", "-n", "shop", "--timeout=300s")
    target.kubectl("apply", "-f", "-", text=yaml.safe_dump(demo.certificate("shop", HOST)))
    ingress = target.get("ingress", "shop", "-n", "shop")
    tls = {"spec": {"tls": [{"hosts": [HOST], "secretName": "shop-tls"}]}}
    notes = {"metadata": {"annotations": {"nginx.ingress.kubernetes.io/ssl-redirect": "false"}}}
    target.kubectl("patch", "ingress", ingress["metadata"]["name"], "-n", "shop", "-p", json.dumps({**tls, **notes}))
    target.kubectl("apply", "-f", "-", text=o.gateway(NAME, project="shop"))
    o.ready(target, NAME)
    o.answered(target, o.route(target, NAME, "shop"))
    yield target
    target.kubectl("scale", "deployment/shop", "-n", "shop", "--replicas=1")
    o.remove_all(target)


def _gateway_pods(target: Target) -> list[dict[str, Any]]:
    found = target.items("pods", "-n", o.WORKING, "-l", "app.kubernetes.io/component=controller")
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def _reloads(target: Target) -> float:
    """Count the reloads of all pods of the gateway, from their own metrics."""
    total = 0.0
    for pod in _gateway_pods(target):
        path = f"/api/v1/namespaces/{o.WORKING}/pods/{pod['metadata']['name']}:10254/proxy/metrics"
        lines = target.kubectl("get", "--raw", path).splitlines()
        total += sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(MADE_NEW))
    return total


def _reloads_at_rest(target: Target) -> float:
    """Wait until no reload has been made for a while, and count them."""
    before, now = -1.0, _reloads(target)
    while now != before:
        time.sleep(3)
        before, now = now, _reloads(target)
    return now


async def _scale_and_reweigh(target: Target) -> None:
    """Make a hundred changes of how many pods there are, and a hundred of the canary's weight."""
    client = await Api.connect(target.kubeconfig)
    try:
        deployments = await client.resource("apps/v1", "Deployment")
        for number in range(100):
            await client.merge_patch(deployments, "shop", {"spec": {"replicas": 9 + number % 2}}, "shop")
            await asyncio.sleep(PACE)
        ingresses = await client.resource("networking.k8s.io/v1", "Ingress")
        for weight in range(100):
            notes = {"nginx.ingress.kubernetes.io/canary-weight": str(weight)}
            await client.merge_patch(ingresses, "canary", {"metadata": {"annotations": notes}}, "shop")
            await asyncio.sleep(PACE)
    finally:
        await client.close()


def _load(target: Target) -> Kept:
    ports = o.node_ports(target, NAME)
    return Kept(target.node_ip, ports["http"], ports["https"], HOST)


def test_changes_behind_the_gateway(served: Target) -> None:
    """Ten pods restarted, scaled and reweighed a hundred times, certificates replaced: no failure, no reload."""
    served.kubectl("apply", "-f", "-", text=_canary())
    load = _load(served)
    before = _reloads_at_rest(served)
    with load.flowing():
        served.kubectl("rollout", "restart", "deployment/shop", "-n", "shop")
        served.kubectl("rollout", "status", "deployment/shop", "-n", "shop", "--timeout=300s")
        asyncio.run(_scale_and_reweigh(served))
        for _ in range(5):
            served.kubectl("apply", "-f", "-", text=yaml.safe_dump(demo.certificate("shop", HOST)))
            time.sleep(1)
    assert load.failures == {}, load.failures
    assert load.answers["200"] > 1000
    assert _reloads(served) == before


def test_changes_of_the_gateway(served: Target) -> None:
    """Two replicas rolled out anew and evicted one by one: requests go on."""
    served.kubectl(
        "patch", "mgw", NAME, "-n", o.WORKING, "--type=merge", "-p", '{"spec":{"deployment":{"replicas":2}}}'
    )
    served.kubectl("rollout", "status", f"deployment/{NAME}", "-n", o.WORKING, "--timeout=300s")
    served.wait("two pods", lambda: len(_gateway_pods(served)) == 2)
    load = _load(served)
    with load.flowing():
        served.kubectl("rollout", "restart", f"deployment/{NAME}", "-n", o.WORKING)
        served.kubectl("rollout", "status", f"deployment/{NAME}", "-n", o.WORKING, "--timeout=300s")
        for pod in _gateway_pods(served):
            _evict(served, pod)
            served.kubectl("rollout", "status", f"deployment/{NAME}", "-n", o.WORKING, "--timeout=300s")
    assert load.failures == {}, load.failures
    assert load.answers["200"] > 500


def _evict(target: Target, pod: dict[str, Any]) -> None:
    """Ask for an eviction as `kubectl drain` does, and wait until the pod is gone."""
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    meta = {"name": name, "namespace": o.WORKING}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
    path = f"/api/v1/namespaces/{o.WORKING}/pods/{name}/eviction"
    target.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(body))
    target.wait(
        f"{name} is gone",
        lambda: target.get("pod", name, "-n", o.WORKING).get("metadata", {}).get("uid") != uid,
        120,
    )


def _canary() -> str:
    backend = {"service": {"name": "shop", "port": {"name": "http"}}}
    rule = {"host": HOST, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    notes = {"nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "0"}
    return yaml.safe_dump(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "canary", "namespace": "shop", "annotations": notes},
            "spec": {"ingressClassName": "nginx", "rules": [rule]},
        }
    )
