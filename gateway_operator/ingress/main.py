"""The ingress role put together: one API connection, the pass loop, the leader's writers and the HTTP port.

On TERM the gateway stops being ready at once and goes on following its objects while nginx's own container drains.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway_operator import __version__
from gateway_operator.errors import ApiError, ConfigError
from gateway_operator.ingress.admission.role import Admission
from gateway_operator.ingress.controller import Controller
from gateway_operator.ingress.events import Reporter
from gateway_operator.ingress.metrics import Metrics
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.parse import ParseRules
from gateway_operator.ingress.scrape import Scrape
from gateway_operator.ingress.server import make_app
from gateway_operator.ingress.sources import Sources
from gateway_operator.ingress.status import StatusWriter
from gateway_operator.ingress.supervised import Supervised
from gateway_operator.kube import Api, EventRecorder, LeaseElector
from gateway_operator.telemetry import get_logger, setup_logging

log = get_logger(__name__)

LAST_WRITES = 5.0
FIRST_PASS_WITHIN = 60.0
DEBUG_FROM = 3


class Role:
    """All parts of one running ingress controller."""

    def __init__(self, api: Api, options: IngressOptions) -> None:
        self._options = options
        self._api = api
        self._recorder = EventRecorder(api, "gateway-ingress", options.pod_name)
        self._reporter = Reporter(self._recorder)
        self._metrics = Metrics(
            controller_class=options.controller_class,
            namespace=options.pod_namespace,
            pod=options.pod_name,
            version=__version__,
        )
        self._sources = Sources(api, options, self._changed)
        supervised = Supervised(options.run_dir, status_port=options.status_port)
        self._controller = Controller(options, self._sources, supervised, self._reporter, self._metrics)
        self._controller.on_pass = self._passed
        self._scrape = Scrape(options.status_port, supervised, self._controller.delivery)
        self._status = StatusWriter(api, options, self._sources)
        self._sources.on_address = self._status.wake
        self._admission = self._make_admission() if options.validating_webhook else None
        self._leads = False
        self._frozen = False
        self._draining = asyncio.Event()

    def _make_admission(self) -> Admission:
        def rules() -> ParseRules:
            config = self._controller.config
            return ParseRules() if config is None else config.parse

        return Admission(self._api, self._options, self._sources, self._metrics, parse_rules=rules)

    def _changed(self) -> None:
        self._controller.wake()

    def _passed(self) -> None:
        """Take from a pass what the status needs of the ConfigMap."""
        if not self._frozen:
            self._frozen = True
            gc.freeze()  # what the first pass made mostly stays: looking through it again and again costs 100 ms each
            gc.enable()
        config = self._controller.config
        if config is not None and config.status_excluded != self._status.excluded:
            self._status.excluded = config.status_excluded
            self._status.wake()

    async def run(self) -> int:
        """Run until TERM."""
        loop = asyncio.get_running_loop()
        gc.disable()  # lists and the first pass make millions of objects that stay
        loop.call_later(FIRST_PASS_WITHIN, gc.enable)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._draining.set)
        runner = web.AppRunner(self._app(), access_log=None)
        await runner.setup()
        try:
            await self._open_port(runner)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stop_when_drained(self._work(group)))
        finally:
            await runner.cleanup()
        return 0

    def _app(self) -> web.Application:
        return make_app(
            self._options,
            self._metrics,
            self._controller.state,
            why_not_ready=self._why_not_ready,
            numbers=self._scrape.numbers,
            traffic=self._controller.traffic.as_json,
        )

    def _work(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        parts = {
            "sources": self._sources.run(),
            "controller": self._controller.run(),
            "events": self._recorder.run(),
            "election": self._elect(),
        }
        if self._admission:
            parts["admission"] = self._admission.run()
        return [group.create_task(part, name=name) for name, part in parts.items()]

    async def _stop_when_drained(self, work: list[asyncio.Task[None]]) -> None:
        await self._draining.wait()
        log.info("draining", seconds=self._options.shutdown_grace_period)
        await asyncio.sleep(self._options.shutdown_grace_period)
        if self._leads and self._options.update_status and self._options.update_status_on_shutdown:
            with contextlib.suppress(ApiError, TimeoutError):
                async with asyncio.timeout(LAST_WRITES):
                    await self._status.release_all()
        await _end(work)
        await self._controller.delivery.save()

    async def _open_port(self, runner: web.AppRunner) -> None:
        host = self._options.healthz_host or None
        try:
            await web.TCPSite(runner, host, self._options.healthz_port).start()
        except OSError as error:
            raise ConfigError(
                f"--healthz-port {self._options.healthz_port} can't be opened: {error.strerror}"
            ) from error

    async def _why_not_ready(self) -> str:
        if self._draining.is_set():
            return "draining"
        waits = self._admission.why_not_ready() if self._admission else ""
        return waits or await self._controller.why_not_ready()

    async def _elect(self) -> None:
        """Lead when elected; every replica serves traffic whether it leads or not."""
        options = self._options
        if options.disable_leader_election:
            await self._lead()
            return
        await self._sources.synced()  # the lease is born with its owner, or it would outlive a short-lived gateway
        elector = LeaseElector(
            self._api,
            namespace=options.pod_namespace,
            name=options.election_id,
            identity=options.pod_name,
            duration=options.election_ttl,
            renew_every=options.election_ttl / 3,
            owner=self._config_map,
        )
        await elector.run(self._lead)

    def _config_map(self) -> dict[str, Any] | None:
        """The gateway's own ConfigMap, with which its lease is to go when the gateway is uninstalled."""
        found = self._sources.config_object
        return found if found and found["metadata"]["namespace"] == self._options.pod_namespace else None

    async def _lead(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._admission:
                group.create_task(self._admission.lead())
            await self._lead_gateway()

    async def _lead_gateway(self) -> None:
        await self._sources.synced()
        while self._controller.config is None:  # the ConfigMap says which namespaces aren't ours  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        self._leads = True
        self._metrics.leader.set(1)
        self._reporter.start_speaking()
        try:
            if self._options.update_status:
                await self._status.run()
            await asyncio.Event().wait()
        finally:
            self._leads = False
            self._metrics.leader.set(0)
            self._reporter.stop_speaking()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until all are gone: wait_for of Python 3.11 swallows a cancellation that meets a result."""
    pending: Collection[asyncio.Task[None]] = tasks
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=LAST_WRITES)
        if pending:
            log.warning("cancelling once more", tasks=sorted(task.get_name() for task in pending))


async def run(options: IngressOptions) -> int:
    """Run the ingress controller until it is told to stop; returns the exit code."""
    setup_logging("debug" if options.v >= DEBUG_FROM else "info", json=True)
    if options.ignored:
        log.warning("flags of ingress-nginx that this controller doesn't honour", flags=list(options.ignored))
    api = await Api.connect(Path(options.kubeconfig) if options.kubeconfig else None)
    try:
        return await Role(api, options).run()
    finally:
        await api.close()
