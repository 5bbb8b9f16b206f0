"""`gateway-operator api`: builds the API's parts from its settings and serves until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from gateway_operator import __version__
from gateway_operator.app import until_signalled
from gateway_operator.commands.api_releases import ClusterReleases
from gateway_operator.errors import ConfigError
from gateway_operator.health import HealthServer, Report
from gateway_operator.kube import Api
from gateway_operator.observe.errors import ObserveError
from gateway_operator.observe.logs import Logs
from gateway_operator.observe.metrics import Metrics
from gateway_operator.observe.prometheus import Prometheus
from gateway_operator.settings import parse_address
from gateway_operator.settings_api import ApiSettings
from gateway_operator.telemetry import get_logger
from gateway_operator.web.app import build_app
from gateway_operator.web.authz import ClusterAccess
from gateway_operator.web.caches import Memory
from gateway_operator.web.gateways import Gateways
from gateway_operator.web.limits import Limits
from gateway_operator.web.projects import Projects
from gateway_operator.web.providers import Providers
from gateway_operator.web.server import Server, make_server, serve
from gateway_operator.web.services import Probe, Services
from gateway_operator.web.tls import Certificates

log = get_logger(__name__)
_PROBE_SECONDS = 5.0
_STREAMS = 10_000  # connections to the API server: each log that is followed holds one


@dataclass(frozen=True)
class Running:
    """The parts of a server that is about to listen."""

    server: Server
    certificates: Certificates | None
    app: FastAPI
    services: Services


async def run(settings: ApiSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError."""
    log.info("starting", version=__version__, listen=settings.api.listen)
    async with parts(settings) as running:
        health = HealthServer(
            parse_address(settings.health_probe_bind_address),
            parse_address(settings.metrics_bind_address),
            lambda: _report(running.services),
        )
        async with health:
            await until_signalled(serve(running.server))
    log.info("stopped")


@asynccontextmanager
async def parts(settings: ApiSettings) -> AsyncIterator[Running]:
    """Build all parts and keep their background work going for as long as the block. Raises ConfigError."""
    address = parse_address(settings.api.listen)
    tls = settings.api.tls
    if address is None or (tls.cert_file is None) != (tls.key_file is None):
        raise ConfigError("api.listen must be an address, and api.tls names certFile and keyFile, or neither")
    async with AsyncExitStack() as stack:
        api = await Api.connect(settings.kubeconfig, pool=_STREAMS)
        stack.push_async_callback(api.close)
        certificates = Certificates(tls, api) if tls.cert_file else None
        if certificates is not None:
            await certificates.open()
            await stack.enter_async_context(_background(certificates.run(), "certificates"))
        gateways = Gateways(api, settings.gateway)
        await stack.enter_async_context(_background(gateways.run(), "gateways"))
        limits = Limits(settings.api.limits)
        logs = await _logs(stack, api, settings)
        metrics = await _metrics(stack, settings)
        services = Services(
            gateways=gateways,
            access=ClusterAccess(api, settings, limits),
            limits=limits,
            releases=await stack.enter_async_context(ClusterReleases.open(api, settings)),
            settings=settings,
            logs=logs,
            metrics=metrics,
            providers=Providers(settings.api.providers_file),
            probes=tuple(
                (name, _probe(part.check))
                for name, part in (("elasticsearch", logs), ("prometheus", metrics))
                if part is not None
            ),
        )
        app = build_app(services)
        server = make_server(app, address, certificates.outer if certificates else None)
        yield Running(server, certificates, app, services)


async def _logs(stack: AsyncExitStack, api: Api, settings: ApiSettings) -> Logs | None:
    chosen = settings.observability.elasticsearch
    if chosen is None:
        return None
    projects = Projects(api)
    await stack.enter_async_context(_background(projects.run(), "projects"))
    logs = Logs(chosen, projects.names)
    stack.push_async_callback(logs.close)
    return logs


async def _metrics(stack: AsyncExitStack, settings: ApiSettings) -> Metrics | None:
    chosen = settings.observability.prometheus
    if chosen is None:
        return None
    metrics = Metrics(Prometheus(chosen), chosen)
    stack.push_async_callback(metrics.close)
    return metrics


def _probe(check: Callable[[], Awaitable[None]]) -> Probe:
    """Make a check a probe whose answer holds for some seconds: everybody may ask /readyz."""
    known: Memory[str, str | None] = Memory(1, lambda _: _PROBE_SECONDS)

    async def ask() -> str | None:
        try:
            await check()
        except ObserveError as error:
            return str(error)
        return None

    return lambda: known.get("", ask)


@asynccontextmanager
async def _background(work: Coroutine[None, None, None], name: str) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _report(services: Services) -> Report:
    """Tell the kubelet: ready once the Gateways are known; a backend that is down takes no replica away."""
    problem = services.gateways.problem()
    return Report(problem is None, {"gateways": problem or "known"})
