"""What the demo's load generator sent to each gateway: the truth that the API's answers are held against."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

NOT_FOUND, FAULT = 404, 500


@dataclass(frozen=True)
class Sent:
    """One request: host, path, status, and the seconds until the answer was at the client; status 0: none came."""

    host: str
    path: str
    status: int
    took: float


@dataclass(frozen=True)
class Part:
    """Some of the requests."""

    sent: tuple[Sent, ...]

    @property
    def requests(self) -> int:
        """How many were answered."""
        return len(self._answered)

    @property
    def unanswered(self) -> int:
        """How many were not: the gateway may have seen them, or not."""
        return len(self.sent) - self.requests

    @property
    def success_rate(self) -> float:
        """The share of the answers that were no 5xx; NaN without any."""
        answered = self._answered
        return sum(one.status < FAULT for one in answered) / len(answered) if answered else math.nan

    def latency(self, share: float = 0.95) -> float:
        """Within how many seconds that share of the answers was there; NaN without any."""
        took = sorted(one.took for one in self._answered)
        return took[max(0, math.ceil(share * len(took)) - 1)] if took else math.nan

    @property
    def _answered(self) -> list[Sent]:
        return [one for one in self.sent if one.status]


@dataclass
class Tally:
    """All requests since `begin` (unix seconds), by the gateway that they were sent to."""

    begin: float = field(default_factory=time.time)
    sent: dict[str, list[Sent]] = field(default_factory=dict)

    def add(self, gateway: str, host: str, path: str, answers: Iterable[tuple[int, float]]) -> None:
        """Count answers, given as (status, seconds); status 0 is none."""
        kept = self.sent.setdefault(gateway, [])
        kept.extend(Sent(host, path, status, took) for status, took in answers)

    def part(self, gateway: str, *, host: str = "", path: str = "") -> Part:
        """What a gateway was sent: all of it, or what its routes for a host or path were."""
        found = tuple(self.sent.get(gateway, ()))
        if host or path:
            found = tuple(
                one
                for one in found
                if host in {"", one.host} and path in {"", one.path} and one.status != NOT_FOUND  # no route yet
            )
        return Part(found)
