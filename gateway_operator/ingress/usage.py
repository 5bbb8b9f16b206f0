"""What nginx's processes use, summed up as upstream's metrics have it. Standard library only, like the supervisor."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_UTIME = 11  # fields of /proc/PID/stat after the command's closing parenthesis; then stime, cutime, cstime


class Usage:
    """Processor time that never falls, though processes come and go, and memory of now."""

    def __init__(self) -> None:
        self._life = ""
        self._before = self._now = 0.0

    def read(self, life: str, master: int | None, workers: Iterable[int]) -> dict[str, float]:
        """Return processor seconds so far, resident bytes and number of processes; `life` differs for each master."""
        living = list(workers)
        if life != self._life:
            self._life, self._before, self._now = life, self._before + self._now, 0.0
        seconds = sum(_seconds(pid, fields=2) for pid in living)
        if master is not None:
            seconds += _seconds(master, fields=4)  # those of workers that ended included
            living.append(master)
        self._now = max(self._now, seconds)  # a worker that ends is nowhere for a moment
        resident = sum(map(_resident, living))
        return {"cpu_seconds": self._before + self._now, "resident_bytes": resident, "processes": len(living)}


def _seconds(pid: int, *, fields: int) -> float:
    with contextlib.suppress(OSError, ValueError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, words[_UTIME : _UTIME + fields])) / _TICKS
    return 0.0


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0
