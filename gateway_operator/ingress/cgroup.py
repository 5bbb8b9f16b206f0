"""What this container may use: nginx counts the node's cores, and a worker for each of them wastes memory."""

from __future__ import annotations

import math
import os
from pathlib import Path

UNLIMITED = 1 << 60  # version 1 says "no limit" with a number about this large


def available_cpus(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the cgroup's CPU quota, rounded up, and never more than the scheduler gives; at least 1."""
    cores = len(os.sched_getaffinity(0))
    quota = _quota_v2(root) or _quota_v1(root)
    return max(1, min(cores, math.ceil(quota))) if quota else cores


def available_memory(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the cgroup's memory limit in bytes; 0 when there is none."""
    text = (_read(root / "memory.max") or _read(root / "memory/memory.limit_in_bytes")).strip()
    return int(text) if text.isdigit() and int(text) < UNLIMITED else 0


def _quota_v2(root: Path) -> float | None:
    words = _read(root / "cpu.max").split()
    if len(words) != 2 or not all(word.isdigit() for word in words):  # noqa: PLR2004
        return None
    return int(words[0]) / int(words[1])


def _quota_v1(root: Path) -> float | None:
    for folder in ("cpu", "cpu,cpuacct"):
        quota = _read(root / folder / "cpu.cfs_quota_us").strip()
        period = _read(root / folder / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit() and int(quota) > 0:
            return int(quota) / int(period)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
