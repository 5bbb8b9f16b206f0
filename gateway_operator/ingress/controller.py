"""The loop: changes gather while a pass is at work, then one pass brings nginx to what the objects say now.

A pass is snapshot → graph → plan → text → test, swap, reload; it does nothing when the bytes are the same. Whatever
fails leaves the last good configuration in place, and the loop tries again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway_operator.ingress.certificates import self_signed
from gateway_operator.ingress.events import Reporter
from gateway_operator.ingress.graph import Graph, GraphBuilder
from gateway_operator.ingress.metrics import Metrics
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.plan import Machine
from gateway_operator.ingress.planner import Compiled, GatewayConfig, compile_plan, read_config
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.quarantine import Quarantine, blame, find_by_halving
from gateway_operator.ingress.render.static import Rendered, render
from gateway_operator.ingress.snapshot import Snapshot
from gateway_operator.ingress.sources import Sources
from gateway_operator.ingress.supervised import GenerationRefused, Supervised, SupervisorAway, generation_name
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

QUIET = 0.1  # a burst of changes is over when nothing came for this long
LONGEST_WAIT = 0.5
BETWEEN_RELOADS = 1.0  # draining workers keep their memory: reloads must not pile up
RETRY_AFTER = 1.0
CHECK_EVERY = 10.0
MOST_QUARANTINED_AT_ONCE = 20


@dataclass(frozen=True)
class Built:
    """One finished build, ready to be written."""

    graph: Graph
    config: GatewayConfig
    compiled: Compiled
    rendered: Rendered


class Controller:
    """Keeps nginx at what the objects say."""

    def __init__(
        self, options: IngressOptions, sources: Sources, supervised: Supervised, reporter: Reporter, metrics: Metrics
    ) -> None:
        self._options = options
        self._sources = sources
        self._supervised = supervised
        self._reporter = reporter
        self._metrics = metrics
        self._builder = GraphBuilder(
            default_backend=options.default_backend_service, default_certificate=options.default_ssl_certificate
        )
        self._fake = self_signed()
        self._quarantine = Quarantine()
        self._refused_config: tuple[dict[str, str], str] | None = None
        self._wake = asyncio.Event()
        self._last_reload = 0.0
        self.applied = ""
        self.config: GatewayConfig | None = None
        self.on_pass: Callable[[], None] = lambda: None

    def wake(self) -> None:
        """Say that something changed."""
        self._wake.set()

    async def run(self) -> None:
        """Run passes until cancelled."""
        await self._sources.synced()
        self._wake.set()
        while True:
            await self._batch()
            self._wake.clear()
            try:
                await self._pass()
                self.on_pass()
            except SupervisorAway as error:
                log.warning("nginx can't be asked now", error=str(error))
                await self._again()
            except GenerationRefused as error:
                self._say_refused(error)
                await self._again()

    def _say_refused(self, error: GenerationRefused) -> None:
        log.error("nginx keeps its last good configuration", stage=error.stage, error=str(error), stderr=error.stderr)

    async def _again(self) -> None:
        await asyncio.sleep(RETRY_AFTER)
        self._wake.set()

    async def _batch(self) -> None:
        """Wait for a change and for the burst's end, and keep reloads apart; now and then look without a change."""
        try:
            async with asyncio.timeout(CHECK_EVERY):  # wait_for of Python 3.11 may swallow a cancellation
                await self._wake.wait()
        except TimeoutError:
            return
        ends = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < ends:
            self._wake.clear()
            try:
                async with asyncio.timeout(QUIET):
                    await self._wake.wait()
            except TimeoutError:
                break
        await asyncio.sleep(max(0.0, self._last_reload + BETWEEN_RELOADS - time.monotonic()))

    async def _pass(self) -> None:
        nginx = await self._supervised.status()
        machine = Machine(
            self._options.http_port,
            self._options.https_port,
            self._options.status_port,
            nginx.ipv6,
            nginx.cpus,
            nginx.nginx_version,
        )
        built = await self._apply(self._sources.snapshot(), machine, nginx.current)
        self.config = built.config
        self._metrics.set_orphans(built.graph.orphans)
        self._metrics.set_expiries(built.graph.expiries)
        held = self._quarantine.problems
        self._metrics.quarantined.set(len(held))
        self._reporter.report([*built.graph.problems, *built.config.problems, *held])

    async def _apply(self, snapshot: Snapshot, machine: Machine, current: str | None) -> Built:
        """Bring nginx to the snapshot; Ingresses that it refuses are put aside one by one."""
        for _ in range(MOST_QUARANTINED_AT_ONCE):
            left_out = self._quarantine.left_out(snapshot.ingresses)
            built = await asyncio.to_thread(self._build, snapshot, machine, left_out)
            name = generation_name(built.rendered.files)
            if name == current == self.applied:
                return built
            try:
                await self._take(name, built)
            except GenerationRefused as refused:
                self._metrics.errors.inc()
                self._metrics.reload_ok.set(0)
                if refused.stage != "test" or not await self._put_aside(snapshot, machine, built, refused.stderr):
                    raise
            else:
                return built
        raise SupervisorAway("too many Ingresses are refused at once; the rest is tried in the next pass")

    async def _take(self, name: str, built: Built) -> None:
        await asyncio.to_thread(self._supervised.write, built.rendered.files, built.compiled.index)
        began = time.monotonic()
        await self._supervised.apply(name)
        self._last_reload = time.monotonic()
        nginx = await self._supervised.status()
        keep = {name, nginx.current or name, nginx.last_good or name}
        await asyncio.to_thread(self._supervised.prune, keep)
        self.applied = name
        self._metrics.success.inc()
        self._metrics.reload_ok.set(1)
        self._metrics.reload_time.set_to_current_time()
        self._metrics.config_hash.set(int(name.removeprefix("gen-")[:12], 16))
        took = round(1000 * (self._last_reload - began))
        log.info("configuration applied", generation=name, hosts=len(built.graph.hosts) - 1, milliseconds=took)

    def _build(self, snapshot: Snapshot, machine: Machine, left_out: frozenset[str]) -> Built:
        config = self._read_config(snapshot)
        graph = self._builder.build(snapshot, strict_paths=config.strict_paths, left_out=left_out)
        compiled = compile_plan(graph, config, machine, self._fake)
        return Built(graph, config, compiled, render(compiled.plan))

    def _read_config(self, snapshot: Snapshot) -> GatewayConfig:
        ref = self._config_ref()
        if self._refused_config is None or self._refused_config[0] != snapshot.config:
            self._refused_config = None
            return read_config(snapshot.config, ref)
        message = f"nginx refuses this configuration; the defaults are used until it changes: {self._refused_config[1]}"
        problem = Problem(ref, "InvalidConfig", "data", message)
        return replace(read_config({}, ref), problems=(problem,))

    def _config_ref(self) -> Ref:
        obj = self._sources.config_object
        if obj:
            return Ref.of(obj, "ConfigMap", "v1")
        namespace, _, name = self._options.configmap.partition("/")
        return Ref("ConfigMap", namespace, name, "", "v1")

    async def _put_aside(self, snapshot: Snapshot, machine: Machine, built: Built, stderr: str) -> bool:
        """Find who made nginx refuse, and leave that out; False when nobody is found."""
        uids = {obj["metadata"].get("uid", ""): obj for obj in snapshot.ingresses}
        guilty = blame(built.compiled, built.rendered, stderr)
        if not guilty and snapshot.config and self._refused_config is None:
            self._refused_config = (dict(snapshot.config), stderr[-300:])
            return True

        async def fails_with_only(kept: frozenset[str]) -> bool:
            trial = await asyncio.to_thread(self._build, snapshot, machine, frozenset(uids) - kept)
            name = await asyncio.to_thread(self._supervised.write, trial.rendered.files, trial.compiled.index)
            try:
                await self._supervised.test(name)
            except GenerationRefused:
                return True
            return False

        if not guilty:
            guilty = await find_by_halving(sorted(uids), fails_with_only)
            self._refused_config = None if guilty else self._refused_config  # the ConfigMap was not to blame
        if not guilty:
            return False
        log.error("nginx refuses an Ingress, it is left out", ingress=str(Ref.of(uids[guilty], "", "")), stderr=stderr)
        self._quarantine.hold(uids[guilty], stderr)
        return True

    async def why_not_ready(self) -> str:
        """Return why the gateway can't get traffic; "" when it can."""
        if not self.applied:
            return f"no configuration is verified yet {self._sources.waiting_for}".strip()
        try:
            async with asyncio.timeout(1):
                nginx = await self._supervised.status()
        except (SupervisorAway, TimeoutError) as error:
            return f"nginx can't be asked: {error}"
        return "" if nginx.running and nginx.current != "builtin" else "nginx doesn't run"
