"""Notices that somebody undoes every repair, and spaces the repairs out instead of fighting.

A fight is one field of one object that is put back again and again within a short time; people who change many fields
in a row don't fight.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from gateway_operator.releases.objects import ObjectId

ROUNDS = 10  # repairs of one field that are taken for accidents
_SOON = 60.0  # seconds between two repairs that belong together
_MAX_PAUSE = 300.0
_FIELDS = 50  # remembered of one object
_OBJECTS = 1000


@dataclass
class _Bout:
    rounds: int = 0
    last: float = 0.0

    @property
    def pause(self) -> float:
        return min(_MAX_PAUSE, 2.0 ** (self.rounds - ROUNDS)) if self.rounds > ROUNDS else 0.0

    def is_over(self, now: float) -> bool:
        return now - self.last > _SOON + 2 * self.pause


class Fights:
    """Counts repairs by object and field."""

    def __init__(self) -> None:
        self._bouts: dict[ObjectId, dict[str, _Bout]] = {}

    def note(self, found: ObjectId, pointers: Iterable[str]) -> float:
        """Count a repair of these fields; returns the pause that follows, 0 for most."""
        now = time.monotonic()
        bouts = {p: b for p, b in self._bouts.get(found, {}).items() if not b.is_over(now)}
        for pointer in pointers:
            bout = bouts.setdefault(pointer, _Bout())
            bout.rounds, bout.last = bout.rounds + 1, now
        self._bouts.pop(found, None)
        self._bouts[found] = dict(sorted(bouts.items(), key=lambda pair: pair[1].rounds)[-_FIELDS:])
        while len(self._bouts) > _OBJECTS:
            del self._bouts[next(iter(self._bouts))]
        return max((bout.pause for bout in bouts.values()), default=0.0)

    def left(self, found: ObjectId) -> float:
        """Return for how long an object is still to be left alone."""
        bouts = self._bouts.get(found)
        if not bouts:
            return 0.0
        now = time.monotonic()
        return max(0.0, *(bout.last + bout.pause - now for bout in bouts.values()))
