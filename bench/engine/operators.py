"""The two operators as processes: started alike, and asked of the kernel what they use.

What a process used is read from /proc: its own time and that of all children that it has waited for, so that a helm
that ended counts as well as one that runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.request import urlopen

from lab import tools
from lab.control import free_ports

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_UTIME = 11  # of the fields that follow the command's closing parenthesis; stime, cutime, cstime come next
_RSS = 21
_PPID = 1
_START_SECONDS = 60.0

# Counts each call, then becomes the real helm, by its own name: Helm 4 calls its field manager after argv[0].
_SHIM = """#!/bin/bash
[ "$1" = version ] || echo "$$ $1 $2" >> {calls}
exec -a helm {helm} "$@"
"""


class Place(Protocol):
    """Where an operator runs: a folder for its files, the API server, and the rows that it is given."""

    @property
    def folder(self) -> Path: ...  # noqa: D102

    @property
    def kubeconfig(self) -> Path: ...  # noqa: D102

    @property
    def watches(self) -> Path: ...  # noqa: D102


@dataclass(frozen=True)
class Contender:
    """One of the two operators: how it is called, and what starts it."""

    name: str
    program: tuple[str, ...]
    ours: bool
    flags: tuple[str, ...] = ()

    def command(self, world: Place, metrics: int, health: int) -> list[str]:
        """Return the command line; both take the same flags."""
        return [
            *self.program,
            "run",
            f"--watches-file={world.watches}",
            f"--metrics-bind-address=:{metrics}",
            f"--health-probe-bind-address=:{health}",
            *self.flags,
        ]


def ours() -> Contender:
    """Return the operator of this checkout. There is one replica, so it elects no leader."""
    program = Path(sys.executable).parent / "gateway-operator"
    return Contender("gateway-operator", (str(program),), ours=True, flags=("--no-leader-elect",))


def peer(binary: Path, name: str) -> Contender:
    """Return the peer; by default it elects no leader either."""
    return Contender(name, (str(binary),), ours=False)


@dataclass
class Operator:
    """A running operator."""

    contender: Contender
    process: subprocess.Popen[bytes]
    metrics_port: int
    health_port: int
    calls: Path
    log: Path
    started: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        """The operator's process; its children are found by it."""
        return self.process.pid

    def cpu_seconds(self) -> float:
        """Return the processor time used so far, children included."""
        total = sum(_fields(self.pid)[_UTIME : _UTIME + 4])
        total += sum(sum(_fields(child)[_UTIME : _UTIME + 4]) for child in descendants(self.pid))
        return total / _TICKS

    def rss(self) -> float:
        """Return the resident memory of the operator and its children, in MB."""
        pages = sum(_fields(pid)[_RSS] for pid in (self.pid, *descendants(self.pid)))
        return pages * _PAGE / 1e6

    def own_rss(self) -> float:
        """Return the resident memory of the operator without its children, in MB."""
        return _fields(self.pid)[_RSS] * _PAGE / 1e6

    def helm_calls(self) -> int:
        """Return how often helm was started (asking for its version isn't counted); the peer has no helm processes."""
        return len(self.calls.read_text(encoding="utf-8").splitlines()) if self.calls.exists() else 0

    def metric(self, name: str) -> float:
        """Sum the samples of a metric that the operator itself tells; 0 when it doesn't know it."""
        with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            return metric_sum(answer.read().decode(), name)

    def passes(self) -> float:
        """Return how many passes over objects have ended; both operators count them by the same name."""
        return self.metric("controller_runtime_reconcile_total")

    def busy(self) -> float:
        """Return how many passes run or wait for a worker."""
        return self.metric("controller_runtime_active_workers") + self.metric("workqueue_depth")

    def ready(self) -> bool:
        """Ask /readyz."""
        try:
            with urlopen(f"http://127.0.0.1:{self.health_port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)  # noqa: PLR2004
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end, and insist."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()

    def check(self) -> None:
        """Raise RuntimeError when it has ended by itself."""
        if self.process.poll() is not None:
            tail = self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise RuntimeError(f"{self.contender.name} ended with {self.process.returncode}:\n{tail}")


def metric_sum(text: str, name: str) -> float:
    """Sum the samples of a metric in Prometheus' text format, whatever their labels."""
    lines = (line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@contextlib.asynccontextmanager
async def running(contender: Contender, world: Place, *flags: str, count_helm: bool = False) -> AsyncIterator[Operator]:
    """Run an operator; returns once it says that it is ready. `count_helm` puts a counter before helm."""
    operator = start(contender, world, *flags, count_helm=count_helm)
    try:
        await until_ready(operator)
        yield operator
        operator.check()
    finally:
        await asyncio.to_thread(operator.stop)


def start(contender: Contender, world: Place, *flags: str, count_helm: bool = False) -> Operator:
    """Start an operator and return at once."""
    metrics, health = free_ports(2)
    calls = world.folder / "helm-calls"
    calls.unlink(missing_ok=True)
    path = _helm_folder(world.folder, calls if count_helm else None)
    log = world.folder / f"{contender.name}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*contender.command(world, metrics, health), *flags],
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith(("HELM_", "GATEWAY_OPERATOR_"))},
                "PATH": f"{path}:{os.environ['PATH']}",
                "KUBECONFIG": str(world.kubeconfig),
            },
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=world.folder,
            start_new_session=True,
        )
    return Operator(contender, process, metrics, health, calls, log)


async def until_ready(operator: Operator) -> None:
    """Wait for /readyz. Raises RuntimeError when the operator ends, TimeoutError."""
    async with asyncio.timeout(_START_SECONDS):
        while not await asyncio.to_thread(operator.ready):
            operator.check()
            await asyncio.sleep(0.05)


def _helm_folder(folder: Path, calls: Path | None) -> Path:
    """Return a folder with a program `helm`: the lab's own, or a counter that becomes it."""
    place = folder / ("helm-counted" if calls else "helm")
    place.mkdir(exist_ok=True)
    program = place / "helm"
    program.unlink(missing_ok=True)
    if calls:
        program.write_text(_SHIM.format(calls=calls, helm=tools.binary("helm4")), encoding="utf-8")
        program.chmod(0o755)
    else:
        program.symlink_to(tools.binary("helm4"))
    return place


def _fields(pid: int) -> list[int]:
    """Read /proc/PID/stat after the command; zeros for a process that is gone."""
    try:
        rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return [0] * (_RSS + 1)
    return [int(f) if f.lstrip("-").isdigit() else 0 for f in rest]


def descendants(pid: int) -> Iterator[int]:
    """Name the children of a process, and theirs."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        with contextlib.suppress(OSError):
            for child in map(int, (task / "children").read_text(encoding="utf-8").split()):
                yield child
                yield from descendants(child)
