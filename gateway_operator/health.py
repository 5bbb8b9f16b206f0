"""The ports that Kubernetes and Prometheus ask: /healthz, /readyz and /metrics of a role's process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway_operator.errors import ConfigError


@dataclass(frozen=True)
class Report:
    """What /readyz answers: 200 or 503, and why."""

    ready: bool
    details: dict[str, Any] = field(default_factory=dict)


class HealthServer:
    """Serves on two ports (one, when they are equal) while the `async with` block runs; port 0 takes a free one."""

    def __init__(self, health_port: int, metrics_port: int, report: Callable[[], Report]) -> None:
        self._ports = (health_port, metrics_port)
        self._report = report
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Start listening. Raises ConfigError when a port is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        for port in dict.fromkeys(self._ports):
            try:
                await web.TCPSite(self._runner, None, port).start()
            except OSError as error:
                await self._runner.cleanup()
                raise ConfigError(f"can't listen on port {port}: {error.strerror}; set another one") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _readyz(self, _request: web.Request) -> web.Response:
        report = self._report()
        return web.json_response({"ready": report.ready, **report.details}, status=200 if report.ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
