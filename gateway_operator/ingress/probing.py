"""Can the gateway reach the clusters that its policies spread requests over? Asked from here, over the data's own way.

A TCP connect to some endpoints of each cluster, several times a second. When nothing in a cluster answers, all of it is
down at once: a network that is cut takes its endpoints together, and finding them one by one would cost each a
time-out. After a second round without an answer its connections aren't waited for any more. When no cluster answers at
all the fault is taken to be here, and nothing changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gateway_operator.ingress.connects import Verdict, connect_all
from gateway_operator.ingress.plan import Endpoint
from gateway_operator.ingress.splits import Made
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

EVERY, WITHIN = 0.4, 0.4  # s
SAMPLE = 4  # endpoints of a cluster in each round; the next round asks the next ones
LEAST = 3  # connects to a cluster in a round: one lost packet is no cut
SURE_AFTER = 2  # rounds without an answer


@dataclass
class _Cluster:
    """What is known of one cluster."""

    endpoints: tuple[Endpoint, ...] = ()
    turn: int = 0
    silent: int = 0  # rounds without any answer
    last: dict[Endpoint, Verdict] = field(default_factory=dict)

    def take(self, endpoints: tuple[Endpoint, ...]) -> None:
        if endpoints != self.endpoints:
            self.endpoints = endpoints
            self.last = {item: verdict for item, verdict in self.last.items() if item in set(endpoints)}

    def sample(self) -> list[Endpoint]:
        count = min(SAMPLE, len(self.endpoints))
        found = [self.endpoints[(self.turn + i) % len(self.endpoints)] for i in range(count)]
        self.turn = (self.turn + count) % len(self.endpoints)
        return found

    def judge(self, verdicts: Mapping[Endpoint, Verdict]) -> None:
        self.last.update({item: verdict for item, verdict in verdicts.items() if verdict is not Verdict.UNKNOWN})
        known = [verdict for verdict in verdicts.values() if verdict is not Verdict.UNKNOWN]
        if known:
            self.silent = self.silent + 1 if all(item is Verdict.SILENT for item in known) else 0


class Probing:
    """Probes the clusters of the splits that the last pass made; `wake` is called when a verdict changes."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._clusters: dict[str, _Cluster] = {}
        self.down: frozenset[str] = frozenset()
        self.cut: frozenset[str] = frozenset()

    def follow(self, splits: Iterable[Made]) -> None:
        """Probe the endpoints of these splits from now on."""
        wanted: dict[str, set[Endpoint]] = {}
        for made in splits:
            for name, endpoints in made.endpoints.items():
                if endpoints:
                    wanted.setdefault(name, set()).update(endpoints)
        self._clusters = {name: self._clusters.get(name, _Cluster()) for name in wanted}
        for name, found in wanted.items():
            self._clusters[name].take(tuple(sorted(found)))

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            began = time.monotonic()
            await self._round()
            await asyncio.sleep(max(0.0, EVERY - (time.monotonic() - began)))

    async def _round(self) -> None:
        clusters = dict(self._clusters)
        samples = {name: cluster.sample() for name, cluster in clusters.items()}
        if samples:
            tries = {item: -(-LEAST // len(sample)) for sample in samples.values() for item in sample}
            verdicts = await asyncio.to_thread(connect_all, tries, WITHIN)
            for name, sample in samples.items():
                clusters[name].judge({item: verdicts[item] for item in sample})
        self._publish()

    def _publish(self) -> None:
        silent = {name: cluster.silent for name, cluster in self._clusters.items() if cluster.silent}
        all_silent = len(silent) == len(self._clusters)
        down = frozenset() if all_silent else frozenset(silent)
        cut = frozenset() if all_silent else frozenset(name for name in silent if silent[name] >= SURE_AFTER)
        if (down, cut) != (self.down, self.cut):
            if down != self.down:
                log.warning("clusters that can't be reached changed", down=sorted(down), before=sorted(self.down))
            self.down, self.cut = down, cut
            self._wake()

    def as_json(self) -> dict[str, dict[str, object]]:
        """Return for each cluster the endpoints whose last probe failed and how many were probed at all."""
        believed = not self._clusters or any(not cluster.silent for cluster in self._clusters.values())
        return {
            name: {
                "down": sorted(str(item) for item in cluster.last if cluster.last[item] is not Verdict.OPEN)
                if believed
                else [],
                "probed": len(cluster.last),
            }
            for name, cluster in sorted(self._clusters.items())
        }
