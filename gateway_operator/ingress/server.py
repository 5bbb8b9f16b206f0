"""The controller's HTTP port: alive, ready, metrics, and what is applied.

It listens on the pod's address, for kubelet and Prometheus; nginx's own probes stay on loopback.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from gateway_operator.ingress.applied import AppliedState
from gateway_operator.ingress.metrics import Metrics, NginxNumbers
from gateway_operator.ingress.options import IngressOptions

NotReady = str
USUAL_POLL, LONGEST_POLL = 30.0, 60.0


def make_app(
    options: IngressOptions,
    metrics: Metrics,
    state: AppliedState,
    *,
    why_not_ready: Callable[[], Awaitable[NotReady]],
    numbers: Callable[[], Awaitable[NginxNumbers]],
    traffic: Callable[[], dict[str, Any]] = dict,
) -> web.Application:
    """Build the application; `why_not_ready` returns "" when the gateway may get traffic, `numbers` asks nginx.

    `traffic` returns what `/traffic` answers.
    """

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_request: web.Request) -> web.Response:
        reason = await why_not_ready()
        return web.Response(status=503 if reason else 200, text=reason or "ok")

    async def show_metrics(_request: web.Request) -> web.Response:
        metrics.take_nginx(await numbers())
        body = await asyncio.to_thread(metrics.text)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def applied(request: web.Request) -> web.Response:
        found = await state.after(request.query.get("after", ""), _seconds(request.query.get("timeout", "30")))
        return web.json_response(found.as_json())

    async def show_traffic(_request: web.Request) -> web.Response:
        return web.json_response(traffic())

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    if options.health_check_path not in {"/healthz", "/readyz", "/metrics", "/applied", "/traffic"}:
        app.router.add_get(options.health_check_path, healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/applied", applied)
    app.router.add_get("/traffic", show_traffic)
    if options.enable_metrics:
        app.router.add_get("/metrics", show_metrics)
    return app


def _seconds(text: str) -> float:
    """Read a time-out of at most a minute; what is no number is the usual one."""
    return min(float(text), LONGEST_POLL) if re.fullmatch(r"\d{1,4}(\.\d+)?", text) else USUAL_POLL
