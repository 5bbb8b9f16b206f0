"""A fresh API server with the kind that both operators serve, and quick ways to fill and to ask it.

The operator has a user of its own, whose requests the API server counts apart from everybody else's: two flow schemas,
one for reads and one for writes, put them into counters of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_operator.errors import NotFound
from gateway_operator.kube import Api, Resource
from lab.apiserver import ApiCluster

CHART = Path(__file__).parent / "chart"
GROUP, VERSION, KIND, PLURAL = "bench.example.com", "v1", "Site", "sites"
API_VERSION = f"{GROUP}/{VERSION}"
NAMESPACE = "bench"
USER = "operator"
_PARALLEL = 32  # requests of ours at once
_ADMIN_READS = ("get", "list", "watch")
_ADMIN_WRITES = ("create", "update", "patch", "delete", "deletecollection")

SITES = Resource(GROUP, VERSION, KIND, PLURAL, namespaced=True)


@dataclass(frozen=True)
class Requests:
    """How many requests of the operator the API server has answered."""

    reads: int
    writes: int

    def __sub__(self, other: Requests) -> Requests:
        return Requests(self.reads - other.reads, self.writes - other.writes)


class World:
    """One API server, its kind and its objects."""

    def __init__(self, cluster: ApiCluster, api: Api, folder: Path) -> None:
        self.cluster = cluster
        self.api = api
        self.folder = folder
        self.kubeconfig = folder / "operator.kubeconfig"
        self.watches = folder / "watches.yaml"

    @classmethod
    @contextlib.asynccontextmanager
    async def fresh(cls, folder: Path) -> AsyncIterator[World]:
        """Start an API server whose data and logs lie in `folder`; it ends with the block."""
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        cluster = await asyncio.to_thread(ApiCluster.start, folder)
        try:
            api = await Api.connect(cluster.kubeconfig)
            try:
                world = cls(cluster, api, folder)
                await world._prepare()
                yield world
            finally:
                await api.close()
        finally:
            await asyncio.to_thread(cluster.stop)

    async def _prepare(self) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*_objects()]})
        await asyncio.to_thread(self.cluster.kubectl, "apply", "-f", "-", input=text)
        crd = f"crd/{PLURAL}.{GROUP}"
        await asyncio.to_thread(self.cluster.kubectl, "wait", "--for=condition=Established", crd, "--timeout=30s")
        await self._login()
        row = {"group": GROUP, "version": VERSION, "kind": KIND, "chart": str(CHART), "watchDependentResources": True}
        self.watches.write_text(json.dumps([row]), encoding="utf-8")
        await eventually(self._served, within=30)

    async def _served(self) -> bool:
        await self.api.list(SITES)
        return True

    async def _login(self) -> None:
        token = await asyncio.to_thread(
            self.cluster.kubectl, "create", "token", USER, "-n", NAMESPACE, "--duration=48h"
        )
        config = json.loads(self.cluster.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": token.strip()}
        self.kubeconfig.touch(0o600)
        self.kubeconfig.write_text(json.dumps(config), encoding="utf-8")

    async def apply_sites(self, names: Iterable[str], spec: dict[str, Any] | None = None) -> None:
        """Create custom resources, as many at once as the API server takes."""
        await together(self.api.create(SITES, site(name, spec), NAMESPACE) for name in names)

    async def sites(self) -> list[dict[str, Any]]:
        """Read all custom resources."""
        return (await self.api.list(SITES, NAMESPACE)).items

    async def until_deployed(self, count: int, *, within: float) -> float:
        """Wait until `count` custom resources say Deployed=True; returns the clock then. Raises TimeoutError."""
        return await self.until_condition("Deployed", count, within=within)

    async def until_condition(self, type_: str, count: int, *, within: float) -> float:
        """Follow the custom resources by a watch of our own, which costs the API server next to nothing."""
        async with asyncio.timeout(within):
            listing = await self.api.list(SITES, NAMESPACE)
            done = {o["metadata"]["name"] for o in listing.items if is_true(o, type_)}
            version = listing.resource_version
            while len(done) < count:
                async for event in self.api.watch(SITES, NAMESPACE, resource_version=version, seconds=3600):
                    version = event.object["metadata"]["resourceVersion"]
                    if event.type != "BOOKMARK" and is_true(event.object, type_):
                        done.add(event.object["metadata"]["name"])
                    if len(done) >= count:
                        break
        return time.monotonic()

    async def requests(self) -> Requests:
        """Return how many requests of the operator's user were answered until now."""
        text = str(await self.api.raw("GET", "/metrics", accept="text/plain"))
        counts = {"reads": 0.0, "writes": 0.0}
        for line in text.splitlines():
            if line.startswith("apiserver_flowcontrol_dispatched_requests_total{"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
                name = labels.get("flow_schema", "").removeprefix("bench-")
                if name in counts:
                    counts[name] += float(line.rpartition(" ")[2])
        return Requests(int(counts["reads"]), int(counts["writes"]))


def site(name: str, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a custom resource."""
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": spec or {"replicaCount": 0}}


def site_names(count: int, prefix: str = "site") -> list[str]:
    """Return `count` names."""
    return [f"{prefix}-{n:04d}" for n in range(count)]


def is_true(obj: dict[str, Any], type_: str) -> bool:
    """Tell whether a condition is True."""
    found = (obj.get("status") or {}).get("conditions") or []
    return any(c.get("type") == type_ and c.get("status") == "True" for c in found)


async def together(work: Iterable[Awaitable[Any]], parallel: int = _PARALLEL) -> None:
    """Await many things, `parallel` at once; the first error ends all."""
    queue = iter(work)

    async def worker() -> None:
        for one in queue:
            await one

    async with asyncio.TaskGroup() as group:
        for _ in range(parallel):
            group.create_task(worker())


async def eventually(ask: Callable[[], Awaitable[bool]], *, within: float, every: float = 0.1) -> float:
    """Ask until the answer is yes; returns the clock then. What isn't there yet counts as no. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while True:
            with contextlib.suppress(NotFound):
                if await ask():
                    return time.monotonic()
            await asyncio.sleep(every)


def _objects() -> Iterable[dict[str, Any]]:
    """Everything that must be there before an operator starts."""
    subject = {"kind": "ServiceAccount", "name": USER, "namespace": NAMESPACE}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": USER, "namespace": NAMESPACE}}
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "bench-operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [subject],
    }
    yield _flow("bench-reads", _ADMIN_READS)
    yield _flow("bench-writes", _ADMIN_WRITES)
    yield _crd()


def _flow(name: str, verbs: Sequence[str]) -> dict[str, Any]:
    resource = {"verbs": verbs, "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    subject = {"kind": "ServiceAccount", "serviceAccount": {"name": USER, "namespace": NAMESPACE}}
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": name},
        "spec": {
            "matchingPrecedence": 500,
            "priorityLevelConfiguration": {"name": "exempt"},
            "rules": [
                {
                    "subjects": [subject],
                    "resourceRules": [resource],
                    "nonResourceRules": [{"verbs": verbs, "nonResourceURLs": ["*"]}],
                }
            ],
        },
    }


def _crd() -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {"kind": KIND, "plural": PLURAL, "singular": KIND.lower(), "listKind": f"{KIND}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }
