"""How often a helm run that fails is tried again.

A run that failed for a reason that lies in its inputs is tried once for these inputs, then after 10, 20, 40 and 60
minutes; a change of the object or the chart makes other inputs. What may pass by itself (an API server that is away)
is tried from one second on. All of it is in `status.lastAttempt`, so that a restart starts no new series.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from gateway_operator.crds.conditions import condition_of, timestamp
from gateway_operator.releases.helm_errors import HelmError
from gateway_operator.releases.queue import Key, backoff, jittered
from gateway_operator.releases.rows import Object
from gateway_operator.releases.status import Fault

SLOW_FIRST, SLOW_LIMIT = 600.0, 3600.0
_SLOW_JITTER = 1.1  # only later, never earlier: "two revisions in ten minutes" is a promise


@dataclass(frozen=True)
class Attempt:
    """A failed run; times are seconds since the epoch."""

    digest: str
    failures: int
    time: float
    retry_at: float
    fault: Fault
    lasting: bool = True
    forced: bool = False  # objects were to be replaced
    followed_up: bool = False  # what should follow the failure was tried: a rollback, or taking away what it left

    def as_status(self) -> dict[str, Any]:
        """Return `status.lastAttempt`."""
        return {
            "digest": self.digest,
            "failures": self.failures,
            "time": _stamp(self.time),
            "retryAt": _stamp(self.retry_at),
            "lasting": self.lasting,
        }


def failed_again(
    last: Attempt | None, digest: str, fault: Fault, *, lasting: bool, forced: bool, now: float
) -> Attempt:
    """Count a failure of the inputs `digest`. Pure but for the jitter."""
    failures = last.failures + 1 if last and last.digest == digest else 1
    if lasting:
        delay = backoff(failures, first=SLOW_FIRST, limit=SLOW_LIMIT) * random.uniform(1, _SLOW_JITTER)  # noqa: S311
    else:
        delay = jittered(backoff(failures))
    return Attempt(digest, failures, now, now + delay, fault, lasting=lasting, forced=forced)


def is_lasting(error: HelmError, *, upgraded: bool) -> bool:
    """Tell whether the next try may take its time: the inputs are at fault, or an upgrade left a revision.

    A right that is missing may be given at any moment; but every try of an upgrade costs two revisions.
    """
    return error.lasting or (upgraded and not error.passing)


def restored(obj: Object) -> Attempt | None:
    """Read what an earlier process wrote into the status; None where nothing failed or it can't be read."""
    known = (obj.get("status") or {}).get("lastAttempt")
    if not isinstance(known, dict):
        return None
    try:
        digest, failures = str(known["digest"]), int(known["failures"])
        time, retry_at = (datetime.fromisoformat(known[k]).timestamp() for k in ("time", "retryAt"))
    except (KeyError, TypeError, ValueError):
        return None
    failed = condition_of(obj, "ReleaseFailed")
    fault = Fault(failed.get("reason") or "UpgradeError", failed.get("message") or "the last run failed")
    return Attempt(digest, failures, time, retry_at, fault, lasting=bool(known.get("lasting", True)))


class Attempts:
    """The last failure of each resource."""

    def __init__(self) -> None:
        self._known: dict[Key, Attempt | None] = {}

    def get(self, key: Key, obj: Object) -> Attempt | None:
        """Return what failed last, known here or from the status."""
        if key not in self._known:
            self._known[key] = restored(obj)
        return self._known[key]

    def note(self, key: Key, attempt: Attempt) -> None:
        """Remember a failure."""
        self._known[key] = attempt

    def follow_up(self, key: Key) -> None:
        """Remember that what should follow a failure was tried."""
        if attempt := self._known.get(key):
            self._known[key] = replace(attempt, followed_up=True)

    def clear(self, key: Key) -> None:
        """Forget failures: a run succeeded, or somebody asked for it."""
        self._known[key] = None

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone."""
        self._known.pop(key, None)


def _stamp(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
