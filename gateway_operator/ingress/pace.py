"""When nginx may be changed: a change of data alone goes at once, bursts gather, and reloads keep apart.

Draining workers keep their memory, so a burst is to become one reload. The distance between reloads has a random part,
or all replicas of a gateway would reload at the same moments.
"""

from __future__ import annotations

import random
import time

QUIET = 0.1  # a burst of changes is over when the wanted configuration stayed the same for this long
LONGEST_WAIT = 0.5
BETWEEN_RELOADS = 1.0
JITTER = 0.3

CALM = 0.1  # a change this long after the last pass is one alone
FIRST_GAP, LONGEST_GAP = 0.002, 0.05  # between passes while changes go on: short at first, then longer and longer


class Gathering:
    """Says how long a pass of data has to wait for more changes."""

    def __init__(self) -> None:
        self._ended = float("-inf")
        self._took = 0.0
        self._gap = FIRST_GAP

    def wait(self, now: float) -> float:
        """Return for how many seconds a change that came just now has to wait."""
        since = now - self._ended
        self._gap = min(2 * self._gap, LONGEST_GAP) if since < CALM else FIRST_GAP
        return max(0.0, max(self._gap, min(self._took, LONGEST_GAP)) - since) if since < CALM else 0.0

    def passed(self, began: float, ended: float) -> None:
        """Note a pass; while they take long, they have pauses as long as they are."""
        self._ended, self._took = ended, ended - began


class Pace:
    """Remembers which files are waiting and when the last reload was. All times are of the monotonic clock."""

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
