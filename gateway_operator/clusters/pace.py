"""Long computations in small steps, so that the event loop goes on in between.

The lease is renewed on the same loop: a pass over twenty members with a thousand Services each must not hold it for
seconds. A computation is a generator that yields wherever it may pause; what it returns is the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]
_SLICE = 0.02  # seconds in which nothing else runs


def at_once(steps: Steps[T]) -> T:
    """Compute without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found


class Breath:
    """Lets others run once the slice of time is over."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def take(self) -> None:
        """Pause if it is time."""
        if time.monotonic() - self._since > _SLICE:
            await asyncio.sleep(0)
            self._since = time.monotonic()


async def unhurried(steps: Steps[T]) -> T:
    """Compute with pauses."""
    breath = Breath()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found
        await breath.take()
