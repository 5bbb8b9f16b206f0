"""The loop: changes gather while a pass is at work, then one pass brings nginx to what the objects say now.

A pass is snapshot → graph → plan → files and data → nginx; it does nothing when nginx has them. Whatever fails leaves
the last good configuration in place, and the loop tries again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from gateway_operator.ingress.applied import Applied, AppliedState
from gateway_operator.ingress.bringing import Bringing, Brought
from gateway_operator.ingress.building import LEAST_MEMORY, Building, Built, machine_of, most_memory
from gateway_operator.ingress.culprits import Circumstances, Culprits
from gateway_operator.ingress.data_socket import DataError
from gateway_operator.ingress.delivery import Delivery
from gateway_operator.ingress.events import Reporter
from gateway_operator.ingress.gate import Hole, open_holes, problem_of
from gateway_operator.ingress.gateway_config import GatewayConfig
from gateway_operator.ingress.metrics import Metrics
from gateway_operator.ingress.notes import Notes
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.pace import Gathering
from gateway_operator.ingress.plan import Machine
from gateway_operator.ingress.probing import Probing
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.quarantine import Quarantine
from gateway_operator.ingress.snapshot import Snapshot
from gateway_operator.ingress.sources import Sources
from gateway_operator.ingress.split_types import POLICY
from gateway_operator.ingress.supervised import GenerationRefused, NginxStatus, Supervised, SupervisorAway
from gateway_operator.ingress.traffic import Traffic, with_splits
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

QUIET, LONGEST_WAIT = 0.1, 0.5  # s; where every change is a reload, bursts are waited for
RETRY_AFTER = 1.0
CHECK_EVERY = 10.0
MOST_QUARANTINED_AT_ONCE = 20
NAMED = 20  # of those that are left out, in what `/applied` tells


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
        self._building = Building(options)
        self._quarantine = Quarantine()
        self._culprits = Culprits(self._building, supervised, self._quarantine)
        self.delivery = Delivery(options.run_dir)
        self._bringing = Bringing(supervised, self.delivery)
        self._notes = Notes(options.run_dir)
        self._data_size = LEAST_MEMORY
        self._dynamic = False
        self._life = ""
        self._nginx: NginxStatus | None = None  # what it was told to be, as long as nothing can have changed that
        self._gathering = Gathering()
        self._holes: tuple[Hole, ...] = ()
        self._wake = asyncio.Event()
        self.state = AppliedState()
        self.probing = Probing(self.wake)
        self.traffic = Traffic(self.probing)
        self.config: GatewayConfig | None = None
        self.on_pass: Callable[[], None] = lambda: None

    def wake(self) -> None:
        """Say that something changed."""
        self._wake.set()

    async def run(self) -> None:
        """Run passes until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part in (self._loop(), self._watch_nginx(), self.delivery.keep_saving(), self._notes.keep_writing()):
                group.create_task(part)
            group.create_task(self.probing.run())

    async def _loop(self) -> None:
        await self._sources.synced()
        self._wake.set()
        while True:
            await self._batch()
            self._wake.clear()
            try:
                await self._pass()
                self.on_pass()
            except (SupervisorAway, DataError, OSError) as error:
                log.warning("nginx can't be brought to the newest state now", error=str(error))
                await self._again()
            except GenerationRefused as error:
                self._say_refused(error)
                await self._again()

    def _say_refused(self, error: GenerationRefused) -> None:
        log.error("nginx keeps its last good configuration", stage=error.stage, error=str(error), stderr=error.stderr)

    async def _again(self) -> None:
        await asyncio.sleep(RETRY_AFTER)
        self._wake.set()

    async def _watch_nginx(self) -> None:
        """Look at once when nginx was started anew: it may lack the newest data."""
        while True:
            try:
                nginx = await self._supervised.wait_for_another_life(self._life)
            except (SupervisorAway, GenerationRefused):
                self._life, self._nginx = "", None
                await asyncio.sleep(RETRY_AFTER)
                continue
            if nginx.life != self._life:
                self._life, self._nginx = nginx.life, None
                self._wake.set()

    async def _batch(self) -> None:
        """Wait for a change and for the burst's end; now and then look without a change."""
        try:
            async with asyncio.timeout(CHECK_EVERY):  # wait_for of Python 3.11 may swallow a cancellation
                await self._wake.wait()
        except TimeoutError:
            self._nginx = None
            return
        if self._dynamic:
            await asyncio.sleep(self._gathering.wait(time.monotonic()))
            return
        ends = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < ends:
            self._wake.clear()
            try:
                async with asyncio.timeout(QUIET):
                    await self._wake.wait()
            except TimeoutError:
                break
        await asyncio.sleep(self._bringing.until_next_reload())

    async def _pass(self) -> None:
        began = time.monotonic()
        nginx = self._nginx or await self._supervised.status()
        self._nginx = None  # asked again after whatever goes wrong
        self._look_for_holes(nginx)
        machine = machine_of(self._options, nginx, self._data_size)
        self._dynamic = bool(machine.lua)
        now, built, brought = await self._apply(machine, nginx)
        self.config = built.config
        self._note(built, brought)
        if brought.wait:
            asyncio.get_running_loop().call_later(brought.wait, self._wake.set)
        problems = [*built.problems, *self._quarantine.problems]
        problems += [problem_of(self._config_ref(), self._holes)] if self._holes else []
        problems += [self._is_full(machine, brought.full)] if brought.full else []
        self._reporter.report(item for item in problems if item.ref.kind != POLICY)  # policies are told by /applied
        self._notes.take(built.compiled.index, self._quarantine.told())
        if brought.reload_milliseconds is None and nginx.life == self._life:
            self._nginx = nginx
        self._gathering.passed(began, time.monotonic())
        if not brought.wait:
            self._culprits.taken(now.snapshot)
            await self._judge_waiting(now)

    async def _judge_waiting(self, now: Circumstances) -> None:
        """Judge those that wait until something changes; who passes comes with the next pass."""
        judged = False
        while not self._wake.is_set() and await self._culprits.judge_waiting(now):
            judged = True
        if judged:
            self._wake.set()

    def _note(self, built: Built, brought: Brought) -> None:
        """Say in state and metrics what nginx has now."""
        self._data_size = max(self._data_size, built.compiled.plan.machine.data_size)
        if brought.generation:
            has_data = bool(built.rendered.data)
            version, digest = (self.delivery.version, self.delivery.digest) if has_data else (0, "")
            held = self._quarantine
            applied = Applied(
                brought.generation,
                version,
                digest,
                len(built.graph.hosts) - 1,
                quarantined=len(held.problems),
                left_out=held.first(NAMED),
            )
            self.state.set(with_splits(applied, self.state.now, built, brought))
        if not brought.wait:
            self.traffic.take(built.compiled.splits)
            self.probing.follow(built.compiled.splits)
        self._metrics.take_pass(built.graph, len(self._quarantine.problems), self.state.now)
        self._metrics.data_full.set(bool(brought.full))
        if brought.reload_milliseconds is not None:
            self._metrics.reloaded(brought.reload_milliseconds)

    async def _build(self, snapshot: Snapshot, machine: Machine) -> Built:
        ingresses, left_out = self._quarantine.admitted(snapshot.ingresses)
        if ingresses is not snapshot.ingresses:
            snapshot = replace(snapshot, ingresses=ingresses)
        return await asyncio.to_thread(self._building.build, snapshot, machine, self._config_ref(), left_out)

    async def _apply(self, machine: Machine, nginx: NginxStatus) -> tuple[Circumstances, Built, Brought]:
        """Bring nginx to what is known now, without the Ingresses that it refuses."""
        snapshot = self._snapshot()
        built = await self._build(snapshot, machine)
        if await self._sources.follow(built.graph):  # what Ingresses name elsewhere is there now, or was waited for
            snapshot = self._snapshot()
            built = await self._build(snapshot, machine)
        now = Circumstances(snapshot, built.compiled.plan.machine, self._config_ref())
        return now, *await self._bring(now, built, nginx)

    def _snapshot(self) -> Snapshot:
        found = self._sources.snapshot()
        if not self.probing.down:
            return found
        return replace(found, down=found.down | self.probing.down, cut=found.cut | self.probing.cut)

    async def _bring(self, now: Circumstances, built: Built, nginx: NginxStatus) -> tuple[Built, Brought]:
        for attempt in range(MOST_QUARANTINED_AT_ONCE):
            at_once = bool(attempt) or not self.state.now.generation or not self._dynamic
            try:
                return built, await self._bringing.bring(built, nginx, at_once=at_once)
            except GenerationRefused as refused:
                self._metrics.refused()
                if refused.stage != "test" or not await self._culprits.put_aside(
                    now, built, refused.stderr, again=bool(attempt)
                ):
                    raise
                built = await self._build(now.snapshot, now.machine)
        raise SupervisorAway("too many Ingresses are refused at once; the rest is tried in the next pass")

    def _look_for_holes(self, nginx: NginxStatus) -> None:
        holes = open_holes(nginx.nginx_version, nginx.package_version)
        if holes != self._holes:
            self._holes = holes
            self._metrics.known_holes.set(len(holes))
            version = nginx.package_version or ".".join(map(str, nginx.nginx_version))
            log.warning("nginx has known holes", version=version, holes=[hole.name for hole in holes])

    def _is_full(self, machine: Machine, key: str) -> Problem:
        """Ask for more memory from the next pass on, and say that it lacks now."""
        size = self._data_size
        self._data_size = min(2 * size, most_memory(machine.memory))
        if self._data_size > size:
            self._wake.set()
        log.error("nginx has no memory for more data", key=key, bytes=size)
        message = f"nginx's memory for data ({size >> 20} MiB) has no room for {key}; the last good data serves"
        return Problem(self._config_ref(), "DataMemoryFull", "", message)

    def _config_ref(self) -> Ref:
        obj = self._sources.config_object
        if obj:
            return Ref.of(obj, "ConfigMap", "v1")
        namespace, _, name = self._options.configmap.partition("/")
        return Ref("ConfigMap", namespace, name, "", "v1")

    async def why_not_ready(self) -> str:
        """Return why the gateway can't get traffic; "" when it can."""
        if not self.state.now.generation:
            return f"no configuration is verified yet {self._sources.waiting_for}".strip()
        if self._holes and self._options.refuse_known_holes:
            return f"nginx has known holes: {', '.join(hole.name for hole in self._holes)}"
        try:
            async with asyncio.timeout(1):
                nginx = await self._supervised.status()
        except (SupervisorAway, TimeoutError) as error:
            return f"nginx can't be asked: {error}"
        return "" if nginx.running and nginx.current != "builtin" else "nginx doesn't run"
