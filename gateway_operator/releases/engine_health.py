"""How the release engine is doing, for /readyz, /healthz and people.

Not ready means: somebody has to see to it, as a missing right. Stuck means: nothing inside this process will ever mend
it, so that it should be restarted; an API server that is away is neither the process's fault nor cured by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prometheus_client import Gauge

from gateway_operator.releases.rows import Row
from gateway_operator.releases.streams import Streams

SERVING = Gauge("gateway_operator_row_serving", "1 while a row of watches.yaml is served.", ["kind", "group"])
PROBLEMS = Gauge("gateway_operator_problems", "Problems that keep the operator from being ready.")
_STILL = 120.0  # seconds without a sign of life of the thread of the streams
_SILENT = 600.0  # seconds without a word of the API server to a row that is served; a live one has one in two minutes


@dataclass(frozen=True)
class RowHealth:
    """How one row of watches.yaml is doing. `silence` is in seconds."""

    row: str
    serving: bool
    problem: str | None = None
    objects: int = 0
    silence: float | None = None
    chart: str = ""
    rollout: dict[str, object] | None = None

    @classmethod
    def of(cls, row: Row, rollout: dict[str, object] | None) -> RowHealth:
        """Look at a row."""
        return cls(
            row=str(row.watch),
            serving=row.synced.is_set(),
            problem=row.problem,
            objects=len(row.store),
            silence=row.silence,
            chart=row.watch.chart.label,
            rollout=rollout,
        )

    def details(self) -> dict[str, Any]:
        """Return what /readyz shows."""
        found: dict[str, Any] = {"serving": self.serving, "objects": self.objects, "chart": self.chart}
        if self.problem:
            found["problem"] = self.problem
        if self.silence is not None:
            found["lastContactSeconds"] = round(self.silence, 1)
        if self.rollout:
            found["rollout"] = self.rollout
        return found


@dataclass(frozen=True)
class EngineHealth:
    """What /readyz and people want to know."""

    enabled: bool
    rows: tuple[RowHealth, ...] = ()
    problems: tuple[str, ...] = ()
    reload: str | None = None  # why the watches.yaml on disk is not in use
    helm: str = ""

    @property
    def ready(self) -> bool:
        """True when every row is served, or waits for nothing but its CRD or a decision, and all watches work."""
        return not self.problems


def stuck(streams: Streams) -> str | None:
    """Say what has died unseen, or None."""
    if streams.beat_age > _STILL:
        return f"the thread of the event streams has not moved for {streams.beat_age:.0f} s"
    for row in streams.rows.values():
        if row.synced.is_set() and row.silence is not None and row.silence > _SILENT:
            return f"the stream of {row.watch} has been silent for {row.silence:.0f} s"
    return None
