"""The controller's HTTP port: alive, ready, metrics.

It listens on the pod's address, for kubelet and Prometheus; nginx's own probes stay on loopback.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway_operator.ingress.metrics import Metrics, parse_stub_status
from gateway_operator.ingress.options import IngressOptions

NotReady = str


def make_app(
    options: IngressOptions, metrics: Metrics, why_not_ready: Callable[[], Awaitable[NotReady]]
) -> web.Application:
    """Build the application; `why_not_ready` returns "" when the gateway may get traffic."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_request: web.Request) -> web.Response:
        reason = await why_not_ready()
        return web.Response(status=503 if reason else 200, text=reason or "ok")

    async def show_metrics(_request: web.Request) -> web.Response:
        metrics.set_nginx(await _nginx_numbers(options.status_port))
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    if options.health_check_path not in {"/healthz", "/readyz", "/metrics"}:
        app.router.add_get(options.health_check_path, healthz)
    app.router.add_get("/readyz", readyz)
    if options.enable_metrics:
        app.router.add_get("/metrics", show_metrics)
    return app


async def _nginx_numbers(port: int) -> dict[str, int]:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session,
            session.get(f"http://127.0.0.1:{port}/nginx_status") as answer,
        ):
            return parse_stub_status(await answer.text())
    except (aiohttp.ClientError, TimeoutError):
        return {}
