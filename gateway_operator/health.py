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


Address = tuple[str | None, int]  # host (None: every interface) and port


class HealthServer:
    """Serves at two addresses (one, when they are equal) while the `async with` block runs; None means nowhere.

    `alive` says why the process should be restarted, or None while it is well.
    """

    def __init__(
        self,
        health: Address | None,
        metrics: Address | None,
        report: Callable[[], Report],
        alive: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._addresses = [address for address in (health, metrics) if address]
        self._report = report
        self._alive = alive
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Start listening. Raises ConfigError when a port is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        for host, port in dict.fromkeys(self._addresses):
            try:
                await web.TCPSite(self._runner, host, port).start()
            except OSError as error:
                await self._runner.cleanup()
                raise ConfigError(f"can't listen on {host or ''}:{port}: {error.strerror}; set another one") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        if problem := self._alive():
            return web.Response(text=problem, status=500)
        return web.Response(text="ok")

    async def _readyz(self, _request: web.Request) -> web.Response:
        report = self._report()
        return web.json_response({"ready": report.ready, **report.details}, status=200 if report.ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
