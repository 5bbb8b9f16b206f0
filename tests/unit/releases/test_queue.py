"""The work queue: coalescing, one pass a key, backoff, delays."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway_operator.errors import GatewayOperatorError
from gateway_operator.releases import queue as module
from gateway_operator.releases.queue import Key, WorkQueue, backoff

A, B = Key(("g", "K"), "ns", "a"), Key(("g", "K"), "ns", "b")
OTHER = Key(("g", "L"), "ns", "a")


@contextlib.asynccontextmanager
async def running(handle, **more):
    """Run a queue over `handle`."""
    queue = WorkQueue(handle, **more)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds):
    """Wait until `holds()`; no test depends on how long that takes."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.005)


async def rounds(number=20):
    """Give everything that could run at once as many turns of the loop, which takes no time."""
    for _ in range(number):
        await asyncio.sleep(0)


async def settle(queue):
    """Let the queue work until it is idle."""
    await until(lambda: queue.idle)


async def test_triggers_become_one_pass_with_all_reasons():
    """Three events, one pass."""
    seen = []

    async def handle(key, reasons):
        seen.append((key, reasons))

    async with running(handle) as queue:
        for reason in ("x", "y", "x"):
            queue.add(A, reason)
        await settle(queue)
    assert seen == [(A, ("x", "y"))]


async def test_a_key_is_never_in_two_passes():
    """What comes during a pass makes one more after it."""
    seen, running_now, most = [], 0, 0
    release = asyncio.Event()

    async def handle(_key, reasons):
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await release.wait()
        seen.append(reasons)
        running_now -= 1

    async with running(handle) as queue:
        queue.add(A, "1")
        await until(lambda: running_now)
        queue.add(A, "2")
        queue.add(A, "3")
        await rounds()
        release.set()
        await settle(queue)
    assert seen == [("1",), ("2", "3")]
    assert most == 1


async def test_workers_bound_a_row_not_the_others():
    """A row that is full doesn't hold up another."""
    started, release = [], asyncio.Event()

    async def handle(key, _reasons):
        started.append(key)
        await release.wait()

    async with running(handle, workers=1) as queue:
        for key in (A, B, OTHER):
            queue.add(key, "x")
        await until(lambda: len(started) == 2)
        await rounds()
        assert started == [A, OTHER]
        release.set()
        await settle(queue)
    assert started == [A, OTHER, B]


async def test_failing_pass_comes_back_later_and_later(monkeypatch):
    """The failures of one key don't touch another, and a change starts the count anew."""
    asked, passes = [], []

    def none(delay):
        asked.append(delay)
        return 0.0

    monkeypatch.setattr(module, "jittered", none)

    async def handle(key, _reasons):
        passes.append(key)
        if len(passes) == 4:
            queue.reset(A)
        if len(passes) < 6:
            raise GatewayOperatorError("no")

    async with running(handle) as queue:
        queue.add(A, "x")
        await until(lambda: len(passes) == 6)
        await settle(queue)
        assert asked == [1, 2, 4, 1, 2]
        passes.clear()
        queue.add(B, "x")
        await until(lambda: len(passes) == 6)
    assert asked == [1, 2, 4, 1, 2, 1, 2, 4, 8, 16]


async def test_delay_returned_by_a_pass_is_kept_and_the_earlier_wins():
    """One entry on the heap for a key."""
    seen = []

    async def handle(_key, reasons):
        seen.append(reasons)
        return 0.3 if len(seen) == 1 else None

    async with running(handle) as queue:
        queue.add(A, "x")
        await until(lambda: seen)
        queue.add_after(A, 3600, "much later")
        await until(lambda: len(seen) == 2)
        await settle(queue)
    assert seen == [("x",), ("requeue",)]


@pytest.mark.parametrize(("failures", "delay"), [(1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (1000, 300)])
def test_backoff(failures, delay):
    """1 s to 5 min."""
    assert backoff(failures) == delay
