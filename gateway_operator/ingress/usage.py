"""What nginx's processes use, summed up as upstream's metrics have it. Standard library only, like the supervisor."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_UTIME = 11  # fields of /proc/PID/stat after the command's closing parenthesis; then stime, cutime, cstime
_STARTED = 19  # in ticks since the machine's start


class Usage:
    """Sums that never fall, though processes come and go, and memory of now."""

    def __init__(self) -> None:
        self._life = ""
        self._before: dict[str, float] = {}
        self._now: dict[str, float] = {}

    def read(self, life: str, master: int | None, workers: Iterable[int]) -> dict[str, float]:
        """Return processor seconds and bytes of storage so far, bytes of memory, the number and age of processes.

        `life` differs for each master. What another user's process hides counts as nothing.
        """
        living = list(workers)
        if life != self._life:
            self._life = life
            self._before = {name: self._before.get(name, 0.0) + value for name, value in self._now.items()}
            self._now = {}
        seconds = sum(_seconds(pid, fields=2) for pid in living)
        if master is not None:
            seconds += _seconds(master, fields=4)  # those of workers that ended included, as in /proc/PID/io
            living.append(master)
        sums = {"cpu_seconds": seconds}
        for name, key in (("read_bytes", "read_bytes"), ("written_bytes", "write_bytes")):
            sums[name] = sum(_storage(pid, key) for pid in living)
        for name, value in sums.items():
            self._now[name] = max(self._now.get(name, 0.0), value)  # a worker that ends is nowhere for a moment
            sums[name] = self._before.get(name, 0.0) + self._now[name]
        memory = [_memory(pid) for pid in living]
        return sums | {
            "virtual_bytes": sum(virtual for virtual, _ in memory),
            "resident_bytes": sum(resident for _, resident in memory),
            "processes": len(living),
            "oldest_start": min((found for pid in living if (found := _started(pid))), default=0.0),
        }


def _stat(pid: int) -> list[int]:
    """Return the numbers of /proc/PID/stat behind the state."""
    with contextlib.suppress(OSError, ValueError):
        return [0, *map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1:])]
    return []


def _seconds(pid: int, *, fields: int) -> float:
    return sum(_stat(pid)[_UTIME : _UTIME + fields]) / _TICKS


def _started(pid: int) -> float:
    """Return when a process started, in seconds since 1970; 0 when it is gone."""
    found = _stat(pid)
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/stat").read_text().splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
        return boot + found[_STARTED] / _TICKS if found else 0.0
    return 0.0


def _storage(pid: int, key: str) -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
    return 0


def _memory(pid: int) -> tuple[int, int]:
    """Return virtual and resident bytes."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = Path(f"/proc/{pid}/statm").read_text().split()
        return int(words[0]) * _PAGE, int(words[1]) * _PAGE
    return 0, 0
