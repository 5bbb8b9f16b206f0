"""When nginx may be reloaded: draining workers keep their memory, so bursts become one reload, and reloads keep apart.

The distance has a random part, or all replicas of a gateway would reload at the same moments.
"""

from __future__ import annotations

import random
import time

QUIET = 0.1  # a burst of changes is over when the wanted configuration stayed the same for this long
LONGEST_WAIT = 0.5
BETWEEN_RELOADS = 1.0
JITTER = 0.3


class Pace:
    """Remembers what is waiting and when the last reload was. All times are of the monotonic clock."""

    def __init__(self) -> None:
        self._name = ""
        self._first = 0.0
        self._changed = 0.0
        self._next = 0.0

    def wait(self, name: str) -> float:
        """Return for how many seconds more a wanted generation has to wait."""
        now = time.monotonic()
        if not self._name:
            self._first = now
        if name != self._name:
            self._name, self._changed = name, now
        due = min(self._changed + QUIET, self._first + LONGEST_WAIT)
        return max(0.0, max(due, self._next) - now)

    def until_next(self) -> float:
        """Return for how many seconds more no reload may happen at all."""
        return max(0.0, self._next - time.monotonic())

    def settled(self) -> None:
        """Say that nothing waits any more without a reload."""
        self._name = ""

    def reloaded(self) -> None:
        """Say that nginx was reloaded just now."""
        self._name = ""
        self._next = time.monotonic() + BETWEEN_RELOADS + random.uniform(0.0, JITTER)  # noqa: S311
