"""How a changed chart reaches the objects of a row: in waves, so that a bad one breaks one gateway and not all.

The first wave is one object, the next a tenth of all, then half of all at a time (setting `rolloutWaves`). A wave
begins when every object of the last one is deployed, and Ready if it was Ready before. One that fails stops the rollout
until it is mended, is gone, or another chart comes; the objects that wait keep the chart that they have. This module is
the pure core; `rollouts` binds it to the engine.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from gateway_operator.releases.queue import Key
from gateway_operator.releases.watches import Watch


class Phase(Enum):
    """How far an object is in a rollout."""

    WAITING = "waiting"
    UPGRADING = "upgrading"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True)
class Member:
    """An object that has a release by an older chart or older overrides."""

    key: Key
    before: Watch | None  # the row that its release was made by; None: this process has never seen it
    was_ready: bool = True
    had_failed: bool = False


def wave_size(waves: Sequence[str], number: int, total: int) -> int:
    """Return how many objects the nth wave (from 0) has; `waves` are numbers or percentages, the last one repeats."""
    word = waves[min(number, len(waves) - 1)]
    size = math.ceil(total * int(word[:-1]) / 100) if word.endswith("%") else int(word)
    return max(1, size)


class Rollout:
    """One change on its way through the objects of a row."""

    def __init__(self, chart: str, members: Iterable[Member], waves: Sequence[str]) -> None:
        self.chart = chart
        ordered = sorted(members, key=lambda m: (not m.had_failed, m.key.namespace, m.key.name))
        self._members = {m.key: m for m in ordered}
        self._phases = dict.fromkeys(self._members, Phase.WAITING)
        self._waves = waves
        self._total = len(ordered)
        self._started = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._members

    def held(self, key: Key) -> Member | None:
        """Return the member if it has to keep what it has."""
        return self._members[key] if self._phases.get(key) is Phase.WAITING else None

    def count(self) -> Counter[Phase]:
        """Count the objects by how far they are."""
        return Counter(self._phases.values())

    def of(self, phase: Phase) -> list[Key]:
        """Return the objects in a phase."""
        return [key for key, now in self._phases.items() if now is phase]

    @property
    def finished(self) -> bool:
        """True when every object has the new chart."""
        return all(phase is Phase.DONE for phase in self._phases.values())

    @property
    def stopped_by(self) -> Key | None:
        """Return the object whose failure holds the others."""
        return next(iter(self.of(Phase.FAILED)), None)

    def report(self, key: Key, *, current: bool, ready: bool, failed: bool) -> None:
        """Take in what a pass over an object found: deployed from the new inputs, Ready, or failed."""
        phase = self._phases.get(key)
        if phase is None or phase is Phase.WAITING:
            return
        if failed:
            self._phases[key] = Phase.FAILED
        elif current:
            self._phases[key] = Phase.DONE if ready or not self._members[key].was_ready else Phase.UPGRADING

    def free(self, key: Key) -> None:
        """Let an object take part at once, whatever its wave."""
        if self._phases.get(key) is Phase.WAITING:
            self._phases[key] = Phase.UPGRADING

    def forget(self, key: Key) -> None:
        """Drop an object that is gone, or is not ours to upgrade."""
        self._members.pop(key, None)
        self._phases.pop(key, None)

    def advance(self) -> list[Key]:
        """Begin the next wave if the last one is through; returns its objects."""
        if any(phase in {Phase.UPGRADING, Phase.FAILED} for phase in self._phases.values()):
            return []
        wave = self.of(Phase.WAITING)[: wave_size(self._waves, self._started, self._total)]
        self._started += 1
        for key in wave:
            self._phases[key] = Phase.UPGRADING
        return wave
