"""The frame around each pass: may it run, what started it, what did it do.

A pass that did something leaves one line at info: the object, the trigger, and each helm run, repair and write. One
that did nothing says so at debug only, for most passes find nothing to do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar

from prometheus_client import Counter

from gateway_operator.releases.queue import Handler, Key
from gateway_operator.releases.rows import Row
from gateway_operator.telemetry import get_logger

PASSES = Counter("gateway_operator_passes_total", "Passes over objects, by what started them.", ["kind", "trigger"])
TRIGGERS = frozenset(
    {
        "added",
        "annotations",
        "deleted",
        "deletion",
        "dependent",
        "finalizers",
        "generation",
        "labels",
        "peer",
        "period",
        "policies",
        "release",
        "requeue",
        "retry",
        "rollout",
        "watches.yaml",
    }
)
_SHOWN = 8
_done: ContextVar[list[str] | None] = ContextVar("done", default=None)
_log = get_logger(__name__)


def note(what: str) -> None:
    """Remember for the log what the running pass does; outside a pass, nothing."""
    if (done := _done.get()) is not None:
        done.append(what)


def trigger_of(reason: str) -> str:
    """Return the kind of a trigger: the first word of its reason, if that is a known one."""
    word = reason.split(" ", 1)[0].strip(",:")
    return word if word in TRIGGERS else "other"


class Passes:
    """A handler of the work queue around another one."""

    def __init__(self, handler: Handler, rows: Mapping[tuple[str, str], Row], fence: Callable[[], None]) -> None:
        self._handler = handler
        self._rows = rows
        self._fence = fence
        self._waiting: dict[tuple[str, str], dict[Key, None]] = {}

    def synced(self, row: tuple[str, str]) -> list[Key]:
        """Return the objects that got no pass because the view of their row was not complete; forgets them."""
        return list(self._waiting.pop(row, ()))

    async def __call__(self, key: Key, reasons: tuple[str, ...]) -> float | None:
        """Run one pass. Raises LeaseLost, and what the handler raises."""
        row = self._rows.get(key.row)
        if row is None:
            return None  # its row has left watches.yaml
        if not row.synced.is_set():
            self._waiting.setdefault(key.row, {})[key] = None
            return None
        self._fence()
        for trigger in {trigger_of(reason) for reason in reasons}:
            PASSES.labels(key.row[1], trigger).inc()
        done: list[str] = []
        _done.set(done)
        began = time.monotonic()
        try:
            return await self._handler(key, reasons)
        finally:
            self._tell(key, reasons, done, time.monotonic() - began)

    def _tell(self, key: Key, reasons: tuple[str, ...], done: list[str], seconds: float) -> None:
        if not done and not logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
            return
        say = _log.info if done else _log.debug
        shown = [*done[:_SHOWN], *([f"and {len(done) - _SHOWN} more"] if len(done) > _SHOWN else [])]
        say("pass", object=str(key), trigger=", ".join(reasons), did="; ".join(shown) or "nothing", s=round(seconds, 3))
