"""The load: wrk of the lab's Debian release, one thread, as many requests as come back or a steady part of that.

wrk starts a request on a connection when the one before has been answered; a random pause in between makes the load a
part of what the gateway can take.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.debian import derived_root
from lab.errors import LabError
from lab.nginx import LIBRARIES

CONNECTIONS = 32
PATIENCE = 10  # seconds until a request counts as failed
_SCRIPT = Path(__file__).parent / "load.lua"
_FAILURES = ("connect", "read", "write", "status", "timeout")
Target = tuple[str, str]  # host and path


@dataclass(frozen=True)
class Figures:
    """What one load found; latencies in milliseconds, as wrk sees them. `failed` counts by kind."""

    requests: int
    seconds: float
    p50: float
    p99: float
    failed: dict[str, int]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def failures(self) -> int:
        """Everything that failed."""
        return sum(self.failed.values())


@dataclass(frozen=True)
class Load:
    """What to send, and where to."""

    port: int
    targets: Sequence[Target]
    tls: bool = False
    close: bool = False
    connections: int = CONNECTIONS
    pause: int = 0  # milliseconds, on average

    async def run(self, seconds: int, folder: Path) -> Figures:
        """Send for a while. Raises LabError when wrk breaks, or when nothing came back."""
        process = await self.start(seconds, folder)
        return await finish(process)

    async def start(self, seconds: int, folder: Path) -> asyncio.subprocess.Process:
        """Start to send; `finish` waits for the end."""
        targets = folder / f"targets-{self.port}"
        await asyncio.to_thread(
            targets.write_text, "".join(f"{host} {path}\n" for host, path in self.targets), encoding="ascii"
        )
        url = f"{'https' if self.tls else 'http'}://{self.targets[0][0]}:{self.port}/"
        command = [*program(), "-t1", f"-c{self.connections}", f"-d{seconds}s", f"--timeout={PATIENCE}s"]
        command += [f"-s{_SCRIPT}", url, "--", str(targets), str(self.pause), "close" if self.close else "keep"]
        return await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )

    def steady(self, rate: float, connections: int) -> Load:
        """Return the same load at about `rate` requests a second."""
        return replace(self, connections=connections, pause=max(1, round(connections / rate * 1000)))


async def finish(process: asyncio.subprocess.Process) -> Figures:
    """Wait for a load's end and read what it found."""
    output, _ = await process.communicate()
    return read(output.decode(errors="replace"))


def read(output: str) -> Figures:
    """Find the figures in what wrk wrote."""
    for line in output.splitlines():
        if line.startswith("{"):
            found: dict[str, Any] = json.loads(line)
            if not found["requests"]:
                break
            failed = {kind: found[kind] for kind in _FAILURES}
            return Figures(found["requests"], found["seconds"], found["p50"], found["p99"], failed)
    raise LabError(f"wrk found nothing:\n{output[-2000:]}")


def program() -> list[str]:
    """Return the command that runs wrk by its own release's loader."""
    root = derived_root("wrk", ["wrk"])
    return [
        str(root / "usr/lib64/ld-linux-x86-64.so.2"),
        "--library-path",
        str(root / LIBRARIES),
        str(root / "usr/bin/wrk"),
    ]
