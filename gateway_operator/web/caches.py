"""Short memories of answers about users, so that a busy console doesn't ask the API server for every request.

Bounded in time and size. Whoever asks while the same question is on its way waits for that answer; failures are not
remembered.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memory(Generic[Key, Value]):
    """Answers by key; `seconds(value)` says how long one is good, 0 for not at all."""

    def __init__(
        self, entries: int, seconds: Callable[[Value], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._entries = entries
        self._seconds = seconds
        self._clock = clock
        self._known: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._asking: dict[Key, asyncio.Future[Value]] = {}

    def __len__(self) -> int:
        """Return how many answers are held."""
        return len(self._known)

    def has(self, key: Key) -> bool:
        """Tell whether an answer is at hand or on its way."""
        found = self._known.get(key)
        return key in self._asking or (found is not None and found[0] > self._clock())

    async def get(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        """Return the answer, from memory or by `ask`. Raises what `ask` raises."""
        found = self._known.get(key)
        if found is not None and found[0] > self._clock():
            self._known.move_to_end(key)
            return found[1]
        if key not in self._asking:
            task = asyncio.ensure_future(ask())
            self._asking[key] = task
            task.add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(self._asking[key])

    def _keep(self, key: Key, done: asyncio.Future[Value]) -> None:
        del self._asking[key]
        if done.cancelled() or done.exception() is not None:
            return
        seconds = self._seconds(done.result())
        self._known.pop(key, None)
        if seconds > 0:
            self._known[key] = (self._clock() + seconds, done.result())
        while len(self._known) > self._entries:
            self._known.popitem(last=False)
