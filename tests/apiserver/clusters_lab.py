"""A centre and its members for tests: real API servers, one `Clusters` at work, and words to look at them with."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import yaml

from gateway_operator.clusters.connection import SLICES
from gateway_operator.clusters.members import MEMBERS
from gateway_operator.clusters.service import POLICIES, Clusters, ClusterSettings
from gateway_operator.crds.manifests import all_yaml
from gateway_operator.kube import Api
from lab.apiserver import ApiCluster

SLOW = 120.0


def prepare(centre: ApiCluster) -> None:
    """Give the centre our kinds."""
    centre.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=all_yaml())
    for name in ("clustertrafficpolicies", "memberclusters"):
        centre.kubectl("wait", "--for=condition=Established", f"crd/{name}.k8s.nginx.org", "--timeout=120s")


async def until(check: Callable[[], Awaitable[Any]], what: str, seconds: float = SLOW) -> Any:
    """Wait until `check()` answers something, and return that."""
    end = time.monotonic() + seconds
    while not (found := await check()):
        assert time.monotonic() < end, f"waited too long: {what}"
        await asyncio.sleep(0.05)
    return found


@contextlib.asynccontextmanager
async def at_work(api: Api, namespace: str, **options: Any) -> AsyncIterator[Clusters]:
    """Run the cluster half of the operator beside the block."""
    clusters = Clusters(api, ClusterSettings(namespace), **options)
    task = asyncio.create_task(clusters.run())
    try:
        yield clusters
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def apply(api: Api, *objects: dict[str, Any]) -> None:
    """Apply objects."""
    for obj in objects:
        res = await api.resource(obj["apiVersion"], obj["kind"])
        await api.apply(res, obj, field_manager="test", force=True)


async def run_service(api: Api, namespace: str, name: str, ips: Iterable[str], port: int = 8080) -> None:
    """Let a cluster have a Service `name`, port 80, whose pods are at these addresses."""
    labels = {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "test"}
    await apply(
        api,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": port}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
        },
    )


def with_token(cluster: ApiCluster, token: str) -> str:
    """Write a kubeconfig for a token."""
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": token}
    return json.dumps(document)


async def add_member(api: Api, namespace: str, name: str, text: str, **spec: Any) -> None:
    """Make a cluster a member, or give it another kubeconfig."""
    await apply(
        api,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"member-{name}", "namespace": namespace},
            "data": {"kubeconfig": base64.b64encode(text.encode()).decode()},
        },
        {
            "apiVersion": "k8s.nginx.org/v1",
            "kind": "MemberCluster",
            "metadata": {"name": name},
            "spec": {"kubeconfigSecretRef": {"name": f"member-{name}"}, **spec},
        },
    )


def policy(namespace: str, weights: dict[str, int] | None, *, name: str = "cafe") -> dict[str, Any]:
    """Write a policy for one path of a host of its own."""
    backend: dict[str, Any] = {"service": {"name": "tea-svc", "port": {"number": 80}}}
    if weights is not None:
        backend["clusterTrafficPolicy"] = [{"name": key, "weight": value} for key, value in weights.items()]
    paths = [{"path": "/tea", "pathType": "Prefix", "backend": backend}]
    return {
        "apiVersion": "k8s.nginx.org/v1",
        "kind": "ClusterTrafficPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"rules": [{"host": f"{name}.{namespace}.example.com", "http": {"paths": paths}}]},
    }


async def mirrored(api: Api, namespace: str) -> dict[str, list[str]]:
    """Return the mirrored addresses of each cluster, as ip:port."""
    result: dict[str, list[str]] = {}
    for item in (await api.list(SLICES, namespace, label_selector="k8s.nginx.org/mirror=true")).items:
        cluster = item["metadata"]["labels"]["multicluster.kubernetes.io/source-cluster"]
        port = item["ports"][0]["port"]
        result.setdefault(cluster, []).extend(f"{e['addresses'][0]}:{port}" for e in item["endpoints"])
    return {name: sorted(found) for name, found in result.items()}


async def status(api: Api, name: str, namespace: str = "") -> dict[str, Any]:
    """Return the status of a member, or with a namespace that of a policy."""
    obj = await api.get(POLICIES if namespace else MEMBERS, name, namespace or None)
    return obj.get("status") or {}


async def condition(api: Api, name: str, type_: str, namespace: str = "") -> dict[str, Any]:
    """Return a condition of a member or a policy, empty while there is none."""
    conditions = (await status(api, name, namespace)).get("conditions") or []
    return next((item for item in conditions if item["type"] == type_), {})


async def has(api: Api, name: str, type_: str, value: str, reason: str = "", namespace: str = "") -> bool:
    """Tell whether a condition is so."""
    found = await condition(api, name, type_, namespace)
    return found.get("status") == value and reason in {"", found.get("reason")}


async def shares(api: Api, namespace: str, name: str = "cafe") -> list[tuple[str, str, str, int, str]]:
    """Return name, desired, effective, ready and state of each cluster of a policy's first path."""
    backends = (await status(api, name, namespace)).get("backends") or [{"clusters": []}]
    keys = ("name", "desired", "effective", "ready", "state")
    return [tuple(cluster[key] for key in keys) for cluster in backends[0]["clusters"]]
