"""Processes as the kernel sees them: who belongs to whom, on which processors they may run, and what they hold."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.engine.operators import descendants

_STEAL = 7  # of the fields of /proc/stat
_PPID, _UTIME = 1, 11  # of the fields that follow the command's closing parenthesis; stime comes after utime


def family(pid: int) -> Iterator[int]:
    """Name a process and all that it started."""
    yield pid
    yield from descendants(pid)


def mentioning(pids: Iterable[int], program: str) -> list[int]:
    """Pick the processes whose command line names a program."""
    return [pid for pid in pids if program in _command(pid)]


def nginxes(pids: Iterable[int]) -> list[int]:
    """Pick the processes of nginx: its title is cut off where its release's own loader started it."""
    return [pid for pid in pids if "sbin/nginx " in _command(pid) or _command(pid).startswith("nginx: ")]


def parent(pid: int) -> int:
    """Return the process that started one; 0 for one that is gone."""
    return int(_stat(pid)[_PPID])


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to those that still are."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def pin(pids: Iterable[int], processors: Iterable[int]) -> None:
    """Let processes, with all of their threads, run on these processors only."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), processors)


def processors() -> tuple[set[int], set[int]]:
    """Return the processor for what is measured and those for all else; the same one where there is only one."""
    first, *rest = sorted(os.sched_getaffinity(0))
    return {first}, set(rest) or {first}


def proportional(pid: int) -> float:
    """Return a process's proportional set size, in MB: what workers share is counted once."""
    return _kilobytes(pid, "smaps_rollup", "Pss:") / 1000


def resident(pid: int) -> float:
    """Return a process's resident memory, in MB."""
    return _kilobytes(pid, "status", "VmRSS:") / 1000


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    return sum(map(int, _stat(pid)[_UTIME : _UTIME + 2])) / os.sysconf("SC_CLK_TCK")


def machine_seconds() -> tuple[float, float]:
    """Return how long this machine's processors have been, and how much of it the host gave to other machines."""
    fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(fields) / ticks, fields[_STEAL] / ticks


def _stat(pid: int) -> list[str]:
    """Read /proc/PID/stat after the command; zeros for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ["0"] * (_UTIME + 2)


def _kilobytes(pid: int, file: str, key: str) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines():
            if line.startswith(key):
                return float(line.split()[1]) * 1.024
    return 0.0


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
