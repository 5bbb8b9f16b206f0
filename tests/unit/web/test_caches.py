"""Answers about users are kept for a while, bounded, and asked for once."""

from __future__ import annotations

import asyncio

import pytest

from gateway_operator.web.caches import Memory


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self):
        return self.now


async def test_answers_are_asked_once_and_expire():
    """Many askers at once cost one question; after its time an answer is asked for again."""
    clock, asked = Clock(), []
    memory: Memory[str, bool] = Memory(10, lambda yes: 10 if yes else 5, clock)

    async def ask():
        asked.append(1)
        await asyncio.sleep(0)
        return True

    assert await asyncio.gather(*(memory.get("a", ask) for _ in range(50))) == [True] * 50
    assert len(asked) == 1
    clock.now = 9.9
    await memory.get("a", ask)
    clock.now = 10.1
    await memory.get("a", ask)
    assert len(asked) == 2


async def test_failures_are_not_kept_and_size_is_bounded():
    """An error reaches who asked, and is forgotten; old answers make room."""
    memory: Memory[int, bool] = Memory(16, lambda _: 10)

    async def fail():
        raise ValueError("down")

    async def ask():
        return True

    with pytest.raises(ValueError, match="down"):
        await memory.get(1, fail)
    assert await memory.get(1, ask)
    for number in range(1000):
        await memory.get(number, ask)
    assert len(memory) == 16


async def test_one_asker_who_leaves_takes_nothing_from_others():
    """A cancelled asker doesn't cancel the question that others wait for."""
    memory: Memory[str, bool] = Memory(16, lambda _: 10)
    gate = asyncio.Event()

    async def ask():
        await gate.wait()
        return True

    first, second = (asyncio.create_task(memory.get("a", ask)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await second
