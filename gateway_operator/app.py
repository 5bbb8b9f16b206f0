"""Puts the operator together: the only place that builds clients and parts from settings.

The work runs only in the replica that holds the lease; health and metrics answer in every replica.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from prometheus_client import Gauge

from gateway_operator import __version__
from gateway_operator.clusters.evaluation import Place
from gateway_operator.clusters.half import ClustersHalf
from gateway_operator.clusters.service import ClusterSettings
from gateway_operator.crds import traffic
from gateway_operator.crds.base import GROUP
from gateway_operator.gateways.claims import mapping
from gateway_operator.gateways.restrictions import is_native
from gateway_operator.health import HealthServer, Report
from gateway_operator.kube import Api, EventRecorder, LeaseElector, ObjectRef
from gateway_operator.releases.engine import Engine
from gateway_operator.releases.farewell import Home, say_farewell
from gateway_operator.releases.gateways import register_kinds
from gateway_operator.settings import OperatorSettings, parse_address
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)
BUILD = Gauge("helm_operator_build_info", "1, with what was built.", ["commit", "version"])

# A killed leader's lease is free after 10 s, and asked for every second; renewals may fail for 6.7 s.
_LEASE_SECONDS, _RENEW_SECONDS, _RETRY_SECONDS = 10.0, 2.5, 1.0
_NGINX, _POLICY = (GROUP, "Nginx"), (traffic.GROUP, "ClusterTrafficPolicy")
LOST_LEASE = 3  # the exit code

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


async def run_operator(settings: OperatorSettings) -> None:
    """Run the operator until SIGTERM or SIGINT. Raises ConfigError when settings or watches.yaml are wrong."""
    log.info("starting", version=__version__, identity=settings.identity)
    BUILD.labels(os.environ.get("GATEWAY_OPERATOR_COMMIT", ""), __version__).set(1)
    async with AsyncExitStack() as stack:
        api = await Api.connect(settings.kubeconfig)
        stack.push_async_callback(api.close)
        recorder = await stack.enter_async_context(_recording(api, settings))
        elector = _elector(api, settings)
        fence = elector.fence if settings.leader_elect else _free
        engine = Engine(api, settings, recorder=recorder, fence=fence, about=_about(settings))
        half = _clusters(api, settings, fence, engine)
        register_kinds(half.assignment if half.enabled else None, half.mirrors, half.quarantine)
        health = HealthServer(
            parse_address(settings.health_probe_bind_address),
            parse_address(settings.metrics_bind_address),
            lambda: _report(settings, elector, engine, half),
            engine.stuck,
        )
        await stack.enter_async_context(health)

        async def work() -> None:
            await _both(engine, half)

        await until_signalled(elector.run(work) if settings.leader_elect else work())
        if settings.deployment:
            home = Home(own_namespace(), settings.deployment, _lease(settings), settings.identity)
            await say_farewell(
                api, engine.file.watches if engine.file else (), home, namespaces=settings.watch_namespaces
            )
    log.info("stopped")


def _clusters(api: Api, settings: OperatorSettings, fence: Callable[[], None], engine: Engine) -> ClustersHalf:
    """Build what splits traffic over clusters; the engine hears what of it goes into releases."""

    def splits(nginx: Mapping[str, Any]) -> bool:
        return is_native(mapping(nginx, "spec", "controller"), settings.gateway)

    chosen = settings.clusters
    here = Place(chosen.region, chosen.zone)
    options = ClusterSettings(own_namespace(), here, splits, own_services=lambda: not engine.serves(_POLICY))
    return ClustersHalf(
        api.guarded(lambda _what: fence()),
        options,
        enabled=chosen.enabled,
        told=lambda key: engine.poke(_NGINX, *key, "its policies, or whom its nginx refuses, changed"),
        mirrored=lambda key: engine.poke(_POLICY, *key, "policies changed"),
    )


async def _both(engine: Engine, half: ClustersHalf) -> None:
    """Run both halves. The cluster half mends itself; when the engine ends, so does the process, and says why."""
    tasks = [asyncio.create_task(engine.run(), name="engine"), asyncio.create_task(half.run(), name="clusters")]
    try:
        await asyncio.gather(*tasks)
    except Exception:
        log.exception("the release engine ended, and with it this process")
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _free() -> None:
    """Without a lease nobody else is at work."""


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


def _lease(settings: OperatorSettings) -> tuple[str, str]:
    """Return namespace and name of the operator's lease."""
    return settings.lease_namespace or own_namespace(), settings.lease_name


def _elector(api: Api, settings: OperatorSettings) -> LeaseElector:
    namespace, name = _lease(settings)
    return LeaseElector(
        api,
        namespace=namespace,
        name=name,
        identity=settings.identity,
        duration=_LEASE_SECONDS,
        renew_every=_RENEW_SECONDS,
        retry_every=_RETRY_SECONDS,
        overdue=_end_process,
    )


def _end_process() -> None:
    """End at once, and every helm with us: the lease is running out and the event loop doesn't answer."""
    os._exit(LOST_LEASE)


def _about(settings: OperatorSettings) -> ObjectRef | None:
    """Return what Events speak of that concern the operator: its lease, or its pod."""
    if settings.leader_elect:
        return ObjectRef("coordination.k8s.io/v1", "Lease", *_lease(settings))
    if name := os.environ.get("POD_NAME"):
        return ObjectRef("v1", "Pod", own_namespace(), name)
    return None


def _report(settings: OperatorSettings, elector: LeaseElector, engine: Engine, half: ClustersHalf) -> Report:
    """Tell what /readyz says: a replica that waits for the lease is ready; a leader is when its streams work."""
    leading = not settings.leader_elect or elector.leading.is_set()
    health, clusters = engine.health(), half.health()
    details: dict[str, Any] = {
        "leader": leading,
        "releaseEngine": health.enabled,
        "rows": {row.row: row.details() for row in health.rows},
        "clusters": dict(clusters.details),
        "problems": [*health.problems, *clusters.problems],
    }
    if health.helm:
        details["helm"] = health.helm
    if health.reload:
        details["reload"] = health.reload
    if settings.leader_elect:
        lease: dict[str, Any] = {"name": settings.lease_name, "holder": elector.holder}
        details["lease"] = {**lease, "renewedSecondsAgo": round(elector.age, 1)} if leading else lease
    return Report(ready=not leading or (health.ready and clusters.ready), details=details)


@asynccontextmanager
async def _recording(api: Api, settings: OperatorSettings) -> AsyncIterator[EventRecorder]:
    """Run an event recorder for as long as the block; what is recorded at the end is still written."""
    recorder = EventRecorder(api, component="gateway-operator", instance=settings.identity)
    task = asyncio.create_task(recorder.run(), name="events")
    try:
        yield recorder
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await recorder.flush()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
