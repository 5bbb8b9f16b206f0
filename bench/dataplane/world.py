"""A fresh API server with sites on it, and the backend that all of their pods are."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from bench.dataplane.backend import LINE, Backend
from bench.dataplane.sites import CONFIG, DOMAIN, NAMESPACE, SECRET, SECRETS, SLICES, Site, endpoints, objects
from bench.engine.world import together
from gateway_operator.kube import Api
from lab.apiserver import ApiCluster
from lab.pki import Authority, Pair

CLASS = "nginx"


class World:
    """One API server, its objects and their pods."""

    def __init__(self, cluster: ApiCluster, api: Api, folder: Path, line: str = LINE) -> None:
        self.cluster = cluster
        self.api = api
        self.folder = folder
        self.backend = Backend(folder / "backend", line)
        self.pair: Pair = Authority(folder / "tls", "bench").issue("site", DOMAIN, hosts=[f"*.{DOMAIN}"])

    @classmethod
    @contextlib.asynccontextmanager
    async def fresh(cls, folder: Path, line: str = LINE) -> AsyncIterator[World]:
        """Start an API server and the backend, which answers with `line`; both end with the block."""
        await asyncio.to_thread(folder.mkdir, parents=True)
        cluster = await asyncio.to_thread(ApiCluster.start, folder)
        try:
            api = await Api.connect(cluster.kubeconfig)
            world = cls(cluster, api, folder, line)
            try:
                await asyncio.to_thread(world.backend.start)
                await world._prepare()
                yield world
            finally:
                await api.close()
                await asyncio.to_thread(world.backend.stop)
        finally:
            await asyncio.to_thread(cluster.stop)

    async def _prepare(self) -> None:
        items = [*_objects(), secret(self.pair)]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        await asyncio.to_thread(self.cluster.kubectl, "apply", "-f", "-", input=text)

    async def plant(self, sites: Iterable[Site], annotations: dict[str, str] | None = None) -> None:
        """Create sites, as many at once as the API server takes."""
        await together(
            self.api.create(resource, obj, NAMESPACE) for site in sites for resource, obj in objects(site, annotations)
        )

    async def set_pods(self, site: Site, *more: str) -> None:
        """Let a site have its own pods and these."""
        await self.api.merge_patch(SLICES, site.name, {"endpoints": endpoints((*site.pods, *more))}, NAMESPACE)

    async def renew_certificate(self) -> None:
        """Replace the sites' certificate by a new one for the same names."""
        folder = self.folder / "tls-renewed"
        pair = await asyncio.to_thread(
            lambda: Authority(folder, "renewed").issue("site", DOMAIN, hosts=[f"*.{DOMAIN}"])
        )
        await self.api.merge_patch(SECRETS, SECRET, {"data": secret(pair)["data"]}, NAMESPACE)


def secret(pair: Pair) -> dict[str, Any]:
    """Return the sites' certificate as a Secret."""
    data = {"tls.crt": pair.cert, "tls.key": pair.key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "data": {name: base64.b64encode(file.read_bytes()).decode() for name, file in data.items()},
    }


def _objects() -> Iterable[dict[str, Any]]:
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    yield {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": CLASS},
        "spec": {"controller": "k8s.io/ingress-nginx"},
    }
    name = CONFIG.partition("/")[2]
    meta = {"name": name, "namespace": NAMESPACE}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"worker-processes": "1"}}
