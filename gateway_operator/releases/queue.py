"""A work queue by key: many triggers for one object become one pass, and no object is in two passes at once.

Failed passes come back after 1 s, 2 s, 4 s ... 5 min, with jitter; a change of the object makes that count start anew.
Every delay lies on one heap, so that a thousand waiting objects cost one sleeping task.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections import Counter as Count
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway_operator.errors import GatewayOperatorError
from gateway_operator.releases.queue_metrics import QueueMetrics
from gateway_operator.telemetry import get_logger

FIRST_DELAY = 1.0
MAX_DELAY = 300.0
JITTER = 0.1
WORKERS = 32  # of one row; what is scarce are helm runs, and they have their own bounds

_log = get_logger(__name__)


class Key(NamedTuple):
    """A custom resource: its row (group, kind), namespace and name."""

    row: tuple[str, str]
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.row[1]} {self.namespace}/{self.name}" if self.namespace else f"{self.row[1]} {self.name}"


Handler = Callable[[Key, tuple[str, ...]], Awaitable[float | None]]


def backoff(failures: int, *, first: float = FIRST_DELAY, limit: float = MAX_DELAY) -> float:
    """Return the delay after the nth failure, without jitter."""
    return float(min(limit, first * 2.0 ** min(max(failures - 1, 0), 30)))


def jittered(delay: float) -> float:
    """Return `delay` give or take a tenth, so that what failed together doesn't return together."""
    return delay * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


@dataclass
class _Work:
    reasons: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    queued: bool = False
    running: bool = False
    failures: int = 0
    due: float | None = None
    since: float = 0.0  # monotonic; when it was queued, or when its pass began


class WorkQueue:
    """Calls `handle` for keys; what it returns is the delay to its next call, if any."""

    def __init__(self, handle: Handler, *, workers: int = WORKERS) -> None:
        self._handle = handle
        self._workers = workers
        self._work: dict[Key, _Work] = {}
        self._ready: dict[tuple[str, str], dict[Key, None]] = {}
        self._running: Count[tuple[str, str]] = Count()
        self._heap: list[tuple[float, int, Key, str]] = []
        self._serial = 0
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._metrics = QueueMetrics(self._ages, workers)

    def _ages(self, row: tuple[str, str]) -> list[float]:
        """Return how long each running pass of a row has taken so far."""
        now = time.monotonic()
        return [now - work.since for key, work in self._work.items() if work.running and key.row == row]

    def add(self, key: Key, reason: str) -> None:
        """Ask for a pass now; if one is running, for another after it."""
        work = self._work.setdefault(key, _Work())
        work.reasons[reason] = None
        if work.running or work.queued:
            return
        work.queued, work.since = True, time.monotonic()
        self._ready.setdefault(key.row, {})[key] = None
        self._metrics.queued(key.row)
        self._wake.set()

    def add_after(self, key: Key, delay: float, reason: str) -> None:
        """Ask for a pass after `delay` seconds, unless an earlier one is due."""
        if delay <= 0:
            self.add(key, reason)
            return
        due = asyncio.get_running_loop().time() + delay
        work = self._work.setdefault(key, _Work())
        if work.due is not None and work.due <= due:
            return
        work.due = due
        self._serial += 1
        heapq.heappush(self._heap, (due, self._serial, key, reason))
        self._wake.set()

    def reset(self, key: Key) -> None:
        """Forget earlier failures: the object changed."""
        if work := self._work.get(key):
            work.failures = 0

    @property
    def idle(self) -> bool:
        """True when no pass is running or waiting for a worker (delayed ones may exist)."""
        return not self._tasks and not any(self._ready.values())

    async def run(self) -> None:
        """Work for ever; passes under way end with this task."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._wake.clear()
                    self._take_due()
                    self._start(group)
                    await self._sleep()
        finally:
            self._metrics.close()

    async def _sleep(self) -> None:
        delay = self._heap[0][0] - asyncio.get_running_loop().time() if self._heap else None
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _take_due(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            due, _, key, reason = heapq.heappop(self._heap)
            work = self._work.get(key)
            if work and work.due == due:  # else an earlier or later entry replaced it
                work.due = None
                self.add(key, reason)

    def _start(self, group: asyncio.TaskGroup) -> None:
        for row, keys in self._ready.items():
            while keys and self._running[row] < self._workers:
                key = next(iter(keys))
                del keys[key]
                work = self._work[key]
                self._metrics.started(key.row, time.monotonic() - work.since)
                work.queued, work.running, work.since = False, True, time.monotonic()
                reasons = tuple(work.reasons)
                work.reasons.clear()
                self._running[row] += 1
                task = group.create_task(self._pass(key, work, reasons), name=f"pass {key}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _pass(self, key: Key, work: _Work, reasons: tuple[str, ...]) -> None:
        delay: float | None = None
        why = "requeue"
        result = "error"
        try:
            delay = await self._handle(key, reasons)
            work.failures = 0
            result = "success" if delay is None else "requeue_after"
        except Exception as error:  # noqa: BLE001 - one object's trouble must not stop the others
            work.failures += 1
            delay, why = jittered(backoff(work.failures)), "retry"
            _log.warning(
                "pass failed",
                object=str(key),
                trigger=", ".join(reasons),
                error=f"{type(error).__name__}: {error}",
                failures=work.failures,
                next_in=round(delay, 1),
                exc_info=not isinstance(error, GatewayOperatorError),
            )
        finally:
            self._metrics.ended(key.row, result, time.monotonic() - work.since)
            work.running = False
            self._running[key.row] -= 1
            self._wake.set()
        if delay is not None:
            self.add_after(key, delay, why)
        if work.reasons:
            first, *rest = list(work.reasons)
            self.add(key, first)
            work.reasons.update(dict.fromkeys(rest))
        elif delay is None and work.due is None and self._work.get(key) is work:
            del self._work[key]
