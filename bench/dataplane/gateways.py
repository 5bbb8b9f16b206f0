"""What is measured, as processes: nginx by a hand-written file, and our gateway as it runs in a pod.

A gateway whose turn it isn't can be frozen, so that its timers cost nobody anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from bench.dataplane import handwritten
from bench.dataplane.asking import answers
from bench.dataplane.logs import AccessLog
from bench.dataplane.network import Ports
from bench.dataplane.processes import family, nginxes, parent, pin, proportional, resident, send
from bench.dataplane.sites import CONFIG, NAMESPACE, Site
from bench.dataplane.world import World
from gateway_operator.crds.config_keys import DEFAULT_CIPHERS, parse_config
from lab.errors import LabError
from lab.nginx import modules, nginx
from lab.process import Daemons

HAND, STATIC, DYNAMIC = "hand-written", "static", "dynamic"
RENDERERS = (STATIC, DYNAMIC)
_RELOADED = ", reconfiguring"
_START_SECONDS = 300.0
_APART = 'out=$0; exec "$@" >>"$out"'  # standard output apart from the daemon's log


class Gateway(Protocol):
    """Something that serves sites."""

    name: str
    http: int
    https: int
    webhook: int
    access_log: Path

    async def start(self) -> None:
        """Start its processes; they may serve later."""

    async def stop(self) -> None:
        """End them."""

    def pids(self) -> Iterable[int]:
        """Name its processes."""

    def controller(self) -> int:
        """Name the process that speaks to the API server; 0: there is none."""

    def reload_notices(self) -> tuple[Path, str]:
        """Return a log, and what stands in it once for each time that nginx has read its configuration anew."""

    def check(self) -> None:
        """Raise LabError when one of its processes has ended by itself."""


class Processes:
    """What all kinds share: daemons in a folder, an access log that is a file."""

    def __init__(self, name: str, folder: Path, ports: Ports) -> None:
        self.name = name
        self.folder = folder
        self.http, self.https, self.status, self.health, self.webhook = (ports.take() for _ in range(5))
        self._log = AccessLog()
        self.access_log = self._log.path
        self.daemons = Daemons(folder, tied=True)

    def launch(self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start a daemon whose standard output is the access log."""
        self.daemons.start(name, ["sh", "-c", _APART, self.access_log, *command], env)

    async def stop(self) -> None:
        """End all daemons: their descendants first stop by themselves, then by force."""
        pids = [*self.pids()]
        await asyncio.to_thread(self.daemons.stop_all)
        send(pids, signal.SIGKILL)
        self._log.remove()

    def pids(self) -> Iterable[int]:
        """Name the daemons and what they started."""
        for name in self.daemons.names():
            if pid := self.daemons.pid(name):
                yield from family(pid)

    def reload_notices(self) -> tuple[Path, str]:
        """Return nginx's own output, in which a supervisor's may stand, too."""
        return self.daemons.log("nginx"), _RELOADED

    def check(self) -> None:
        """Raise LabError when a daemon has ended by itself."""
        for name in self.daemons.names():
            if not self.daemons.alive(name):
                raise LabError(f"{name} of {self.name} ended by itself:\n{self.daemons.tail(name)}")


class HandWritten(Processes):
    """nginx by the file that a person would write for these sites."""

    def __init__(self, folder: Path, ports: Ports, world: World, sites: Iterable[Site]) -> None:
        super().__init__(HAND, folder, ports)
        self._world = world
        self._sites = sites

    async def start(self) -> None:
        """Write the file and start nginx."""
        self.folder.mkdir(parents=True)
        defaults, _ = parse_config({})
        text = handwritten.nginx_conf(
            self._sites,
            folder=str(self.folder),
            ports=handwritten.Ports(self.http, self.https),
            certificate=str(self._world.pair.cert),
            key=str(self._world.pair.key),
            ciphers=DEFAULT_CIPHERS,
            keepalive=defaults["upstream-keepalive-connections"],
        )
        conf = self.folder / "nginx.conf"
        conf.write_text(text, encoding="utf-8")
        self.launch("nginx", [nginx(), "-e", "stderr", "-c", conf])

    def controller(self) -> int:
        """There is none."""
        return 0


class Ours(Processes):
    """The gateway of this checkout: controller and supervised nginx, as in a pod's two containers."""

    def __init__(
        self,
        folder: Path,
        ports: Ports,
        world: World,
        renderer: str,
        *,
        metrics: bool = False,
        webhook: bool = False,
        flags: Sequence[str] = (),
    ) -> None:
        super().__init__(f"{renderer} with metrics" if metrics else renderer, folder, ports)
        self._world = world
        self._renderer = renderer
        self._metrics = metrics
        self._webhook = webhook
        self._flags = flags

    async def start(self) -> None:
        """Start both processes at the same moment."""
        run_dir = self.folder / "run"
        run_dir.mkdir(parents=True)
        env = {
            "GATEWAY_RUN_DIR": str(run_dir),
            "GATEWAY_RENDERER": self._renderer,
            "GATEWAY_NGINX_MODULES": str(modules()),
            "POD_NAME": "gateway-0",
            "POD_NAMESPACE": NAMESPACE,
        }
        program = Path(sys.executable).parent / "gateway-operator"
        tmp = self.folder / "tmp"
        supervise = [f"--prefix={tmp}", f"--nginx={nginx()}", f"--status-port={self.status}"]
        self.launch("nginx", [program, "nginx", *supervise, "--shutdown-grace-period=0"], env)
        flags = [
            f"--kubeconfig={self._world.cluster.kubeconfig}",
            f"--configmap={CONFIG}",
            f"--http-port={self.http}",
            f"--https-port={self.https}",
            f"--status-port={self.status}",
            "--healthz-host=127.0.0.1",
            f"--healthz-port={self.health}",
            "--update-status=false",
            "--disable-leader-election=true",
            f"--enable-metrics={'true' if self._metrics else 'false'}",
        ]
        if self._webhook:
            pair = self._world.pair
            flags += [
                f"--validating-webhook=127.0.0.1:{self.webhook}",
                f"--validating-webhook-certificate={pair.cert}",
                f"--validating-webhook-key={pair.key}",
            ]
        self.daemons.start("controller", [program, "ingress", *flags, *self._flags], env)

    def controller(self) -> int:
        """Return the controller's process."""
        return self.daemons.pid("controller") or 0

    def bytes_held(self) -> dict[str, int]:
        """Return what the configuration weighs: files of the current generation, and data."""
        run_dir = self.folder / "run"
        files = [file for file in (run_dir / "current").resolve().rglob("*") if file.is_file()]
        snapshot = run_dir / "data.snapshot"
        data = snapshot.stat().st_size if snapshot.exists() else 0
        return {"files": sum(file.stat().st_size for file in files), "data": data}


@contextlib.asynccontextmanager
async def running(gateway: Gateway, hosts: Iterable[str] = ()) -> AsyncIterator[None]:
    """Run a gateway; returns once it serves these hosts."""
    await gateway.start()
    try:
        await serving(gateway, hosts)
        yield
    finally:
        await gateway.stop()


async def serving(gateway: Gateway, hosts: Iterable[str], every: float = 0.02) -> float:
    """Wait until a gateway serves these hosts; returns the clock then. Raises LabError."""
    asking = asyncio.create_task(answers(gateway.http, hosts, within=_START_SECONDS, every=every))
    try:
        while not (await asyncio.wait({asking}, timeout=1))[0]:
            gateway.check()
        if (at := await asking) == float("inf"):
            raise LabError(f"{gateway.name} doesn't serve; its log:\n{_tail(gateway.reload_notices()[0])}")
        return at
    finally:
        asking.cancel()


def reloads(gateway: Gateway) -> int:
    """Count how often nginx has read its configuration anew."""
    log, notice = gateway.reload_notices()
    return log.read_text(encoding="utf-8", errors="replace").count(notice)


def workers(gateway: Gateway) -> list[int]:
    """Name the processes that serve requests: the children of nginx's first one, or all where there is no nginx."""
    found = nginxes(gateway.pids())
    return [pid for pid in found if parent(pid) in found] or [*gateway.pids()]


def worker_memory(gateway: Gateway) -> float:
    """Return the largest worker's proportional set size, in MB."""
    return max((proportional(pid) for pid in workers(gateway)), default=0.0)


def controller_memory(gateway: Gateway) -> float:
    """Return the controller's resident memory, in MB."""
    return resident(gateway.controller())


def freeze(gateway: Gateway) -> None:
    """Let a gateway cost nothing."""
    send(gateway.pids(), signal.SIGSTOP)


def thaw(gateway: Gateway, processors: Iterable[int]) -> None:
    """Let a gateway go on, what serves on these processors, with an empty access log."""
    send(gateway.pids(), signal.SIGCONT)
    pin(nginxes(gateway.pids()) or gateway.pids(), processors)
    with contextlib.suppress(FileNotFoundError):
        os.truncate(gateway.access_log, 0)


def _tail(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text(encoding="utf-8", errors="replace")[-3000:]
    return ""
