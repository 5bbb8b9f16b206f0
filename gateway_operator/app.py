"""Puts the operator together: the only place that builds clients and parts from settings.

The work runs only in the replica that holds the lease; health and metrics answer in every replica.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from gateway_operator import __version__
from gateway_operator.health import HealthServer, Report
from gateway_operator.kube import Api, EventRecorder, LeaseElector
from gateway_operator.releases.engine import Engine
from gateway_operator.releases.gateways import register_kinds
from gateway_operator.settings import OperatorSettings
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

LEASE_NAME = "gateway-operator"
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


async def run_operator(settings: OperatorSettings) -> None:
    """Run the operator until SIGTERM or SIGINT. Raises ConfigError when settings or watches.yaml are wrong."""
    log.info("starting", version=__version__, identity=settings.identity)
    register_kinds()
    async with AsyncExitStack() as stack:
        api = await Api.connect(settings.kubeconfig)
        stack.push_async_callback(api.close)
        recorder = await stack.enter_async_context(_recording(api, settings))
        engine = Engine(api, settings, recorder=recorder)
        elector = _elector(api, settings)
        health = HealthServer(settings.health_port, settings.metrics_port, lambda: _report(settings, elector, engine))
        await stack.enter_async_context(health)
        work = elector.run(engine.run) if settings.leader_elect else engine.run()
        await until_signalled(work)
    log.info("stopped")


async def until_signalled(work: Awaitable[None]) -> None:
    """Await `work`; SIGTERM and SIGINT cancel it and count as its end."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.info("asked to stop")
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def own_namespace(default: str = "default") -> str:
    """Return the namespace of this pod, or `default` outside a cluster."""
    if name := os.environ.get("POD_NAMESPACE"):
        return name
    return _NAMESPACE_FILE.read_text(encoding="utf-8").strip() if _NAMESPACE_FILE.exists() else default


def _elector(api: Api, settings: OperatorSettings) -> LeaseElector:
    namespace = settings.lease_namespace or own_namespace()
    return LeaseElector(api, namespace=namespace, name=LEASE_NAME, identity=settings.identity)


def _report(settings: OperatorSettings, elector: LeaseElector, engine: Engine) -> Report:
    """Tell what /readyz says: a replica that waits for the lease is ready; a leader is when its streams work."""
    leading = not settings.leader_elect or elector.leading.is_set()
    health = engine.health()
    return Report(
        ready=not leading or health.ready,
        details={
            "leader": leading,
            "releaseEngine": health.enabled,
            "rows": {row.row: row.problem or ("serving" if row.serving else "starting") for row in health.rows},
            "problems": list(health.problems),
        },
    )


@asynccontextmanager
async def _recording(api: Api, settings: OperatorSettings) -> AsyncIterator[EventRecorder]:
    """Run an event recorder for as long as the block; what is recorded at the end is still written."""
    recorder = EventRecorder(api, component="gateway-operator", instance=settings.identity)
    task = asyncio.create_task(recorder.run(), name="events")
    try:
        yield recorder
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(recorder.flush(), 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
