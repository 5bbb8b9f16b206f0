"""How many old worker generations may drain at once: each keeps its memory until its last request ends.

A gateway with long-lived connections and frequent reloads would fill its pod; the oldest generation is ended first.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterable


class Draining:
    """Worker generations in the order in which they were retired."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._generations: list[frozenset[int]] = []
        self.ended = 0

    def retire(self, workers: Iterable[int]) -> None:
        """Take the workers that a reload told to end; those of an earlier reload stay where they are."""
        known = frozenset[int]().union(*self._generations)
        if fresh := frozenset(workers) - known:
            self._generations.append(fresh)

    def living(self, processes: Collection[int]) -> list[frozenset[int]]:
        """Return what still drains, the oldest first, given all worker processes that live."""
        alive = frozenset(processes)
        self._generations = [left for generation in self._generations if (left := generation & alive)]
        return list(self._generations)

    def enforce(self, processes: Collection[int]) -> list[int]:
        """Tell the oldest generations beyond the cap to end now, and return their processes."""
        living = self.living(processes)
        excess = living[: max(0, len(living) - self._most)]
        asked = sorted(pid for generation in excess for pid in generation)
        for pid in asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self._generations = living[len(excess) :]
        self.ended += len(excess)
        return asked
