"""A stand-in for a kubelet: it only serves the logs of pods, and knows how many are being followed.

`ApiCluster` runs no pods, so its API server has nowhere to fetch a log from. What is measured with this is the way of
a log's bytes (client, API, API server, kubelet) and what becomes of the connections when the client leaves; for that
it doesn't matter who wrote the lines. Real kubelets are in the full lab (`lab.cluster`).
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from lab.apiserver import ApiCluster
from lab.control import free_ports

LINE = b"a line of a log\n"


class StandInKubelet:
    """A node of one API server; `followed` counts the logs that are open."""

    def __init__(self, cluster: ApiCluster, name: str) -> None:
        """Prepare a node of this name; `serving` makes it one."""
        self.name = name
        self.followed = 0
        self._cluster = cluster
        (self._port,) = free_ports(1)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Be a node of the cluster for as long as the block."""
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._log)
        # without handler_cancellation nobody tells that a reader has left
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        pki = self._cluster.ca_file.parent
        # the API server's own certificate: of the authority that it trusts, and good for the same address
        context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        await web.TCPSite(runner, "127.0.0.1", self._port, ssl_context=context).start()
        try:
            await asyncio.to_thread(self._kubectl, "create", "-f", "-", text=json.dumps(self._node()))
            yield
            await asyncio.to_thread(self._kubectl, "delete", "node", self.name)
        finally:
            await runner.cleanup()

    async def pod(self, namespace: str, name: str, labels: dict[str, str]) -> None:
        """Put a pod onto this node; it never becomes ready, but has a log."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"nodeName": self.name, "containers": [{"name": "controller", "image": "none"}]},
        }
        await asyncio.to_thread(self._kubectl, "create", "-f", "-", text=json.dumps(pod))

    def _kubectl(self, *args: str, text: str | None = None) -> None:
        self._cluster.kubectl(*args, input=text)

    def _node(self) -> dict[str, Any]:
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
        }
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name}, "status": status}

    async def _log(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        self.followed += 1
        try:
            await answer.write(LINE)
            if request.query.get("follow") == "true":
                await asyncio.Event().wait()  # until the reader leaves
        finally:
            self.followed -= 1
        return answer
