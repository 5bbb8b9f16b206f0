"""Numbers of the webhook, upstream's where there is an equal."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PREFIX = "nginx_ingress_controller_admission"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class AdmissionMetrics:
    """Reviews by outcome, and how long they took."""

    def __init__(self, registry: CollectorRegistry, labels: Mapping[str, str]) -> None:
        names = tuple(labels)
        self._reviews = Counter(f"{_PREFIX}_reviews", "Reviews by outcome", (*names, "outcome"), registry=registry)
        duration = Gauge(f"{_PREFIX}_roundtrip_duration", "Seconds that the last review took", names, registry=registry)
        seconds = Histogram(
            f"{_PREFIX}_seconds", "Seconds that reviews took", names, registry=registry, buckets=_BUCKETS
        )
        self._labels = dict(labels)
        self._last = duration.labels(**labels)
        self._seconds = seconds.labels(**labels)

    def observe(self, outcome: str, seconds: float) -> None:
        """Take one review: allowed, denied or failed."""
        self._reviews.labels(**self._labels, outcome=outcome).inc()
        self._last.set(seconds)
        self._seconds.observe(seconds)
