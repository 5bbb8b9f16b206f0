"""Child processes of a process that may be PID 1.

It must reap whatever is left to it, so no library may wait for children in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
_LISTEN = "0A"  # the state column of /proc/net/tcp


@dataclass(frozen=True)
class Child:
    """A process that was started here; `exited` gets its exit code (negative for a signal)."""

    pid: int
    exited: asyncio.Future[int]


class Children:
    """Starts processes and reaps all that end, also those that were inherited from a dead child."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[subprocess.Popen[bytes], asyncio.Future[int]]] = {}
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        if os.getpid() != 1:
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, argv: Sequence[str], *, stdout: int | None = None, stderr: int | None = None) -> Child:
        """Start a process with this one's standard streams, or those that are given."""
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)  # noqa: S603
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._known[process.pid] = (process, future)
        return Child(process.pid, future)

    async def run(self, argv: Sequence[str], *, timeout: float) -> tuple[int, str]:  # noqa: ASYNC109
        """Run a process to its end and return its exit code and what it wrote to stderr."""
        with tempfile.TemporaryFile() as output:
            child = self.start(argv, stdout=subprocess.DEVNULL, stderr=output.fileno())
            try:
                async with asyncio.timeout(timeout):
                    code = await asyncio.shield(child.exited)
            except TimeoutError:
                os.kill(child.pid, signal.SIGKILL)
                await child.exited
                return -signal.SIGKILL, f"{argv[0]} did not end within {timeout:g} s"
            output.seek(0)
            return code, output.read(65536).decode(errors="replace")

    def strangers(self) -> list[int]:
        """Return our children that weren't started here: what a dead child left behind."""
        return [pid for pid in child_pids(os.getpid()) if pid not in self._known]

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            process, future = self._known.pop(pid, (None, None))
            if process is not None and future is not None:
                process.returncode = os.waitstatus_to_exitcode(status)
                if not future.done():
                    future.set_result(process.returncode)


def child_pids(parent: int) -> list[int]:
    """Return the living children of a process."""
    try:
        threads = list(Path(f"/proc/{parent}/task").iterdir())
        listed = {int(pid) for thread in threads for pid in (thread / "children").read_text().split()}
    except OSError:  # a kernel without this list, or the process is gone
        listed = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    return sorted(pid for pid in listed if _parent(pid) == parent)


def _parent(pid: int) -> int:
    """Return the parent of a living process; 0 for a zombie or none."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
        return int(parent) if state != "Z" else 0
    return 0


def listeners(pid: int) -> dict[str, str]:
    """Return the listening TCP sockets of a process: descriptor → socket, as /proc spells them."""
    listening = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), Path(f"/proc/net/{table}").open() as lines:
            listening |= {f"socket:[{line.split()[9]}]" for line in lines if line.split()[3] == _LISTEN}
    found = {}
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                link = str(entry.readlink())
                if link in listening:
                    found[entry.name] = link
    return found


def is_accepting(worker: int, sockets: Mapping[str, str]) -> bool:
    """Tell whether a forked worker still has any of its parent's listening sockets open."""
    for descriptor, link in sockets.items():
        with contextlib.suppress(OSError):
            if str(Path(f"/proc/{worker}/fd/{descriptor}").readlink()) == link:
                return True
    return False
