"""Traffic whose truth is known: requests decided here, written to Prometheus as scrapes would have seen them."""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway_operator.settings_api import PrometheusSettings
from lab.servers.prometheus import Written

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
PREFIX = "nginx_ingress_controller"
SCRAPE = 15
Ask = Callable[..., Any]


@dataclass(frozen=True)
class Request:
    """One request as a gateway's pod served it."""

    at: float
    pod: str
    namespace: str
    ingress: str
    status: str
    seconds: float
    sent: int
    received: int


@dataclass(frozen=True)
class Pod:
    """A pod of a gateway: from when to when it is scraped, and when nginx in it began to count anew."""

    name: str
    since: float
    until: float = math.inf
    restarts: tuple[float, ...] = ()


@dataclass
class Gateway:
    """A gateway's pods and what they served."""

    name: str
    namespace: str
    pods: list[Pod]
    requests: list[Request] = field(default_factory=list)
    honour: bool = False

    @property
    def job(self) -> str:
        return f"{self.name}-metrics"

    def truth(self, start: float, end: float, keep: Callable[[Request], bool] = lambda _: True) -> list[Request]:
        """The requests within (start, end]."""
        return [one for one in self.requests if start < one.at <= end and keep(one)]

    def series(self, start: float, end: float) -> Iterator[Written]:
        """What scrapes each 15 s from start to end found."""
        scrapes = [start + step * SCRAPE for step in range(int((end - start) / SCRAPE) + 1)]
        for pod in self.pods:
            seen = [at for at in scrapes if pod.since <= at <= pod.until]
            yield from self._of_pod(pod, seen)
            yield from self._of_process(pod, seen)

    def _of_pod(self, pod: Pod, scrapes: list[float]) -> Iterator[Written]:
        groups: dict[tuple[str, str, str], list[Request]] = {}
        for one in sorted(self.requests, key=lambda request: request.at):
            if one.pod == pod.name:
                groups.setdefault((one.namespace, one.ingress, one.status), []).append(one)
        for (namespace, ingress, status), requests in groups.items():
            labels = self._labels(pod) | self._own(namespace) | {
                "ingress": ingress, "status": status, "method": "GET", "host": f"{ingress}.test", "path": "/",
            }  # fmt: skip
            yield from _counted(labels, requests, pod, scrapes)

    def _own(self, namespace: str) -> dict[str, str]:
        return {"namespace" if self.honour else "exported_namespace": namespace}

    def _labels(self, pod: Pod) -> dict[str, str]:
        return {
            "job": self.job, "namespace": self.namespace, "pod": pod.name, "instance": f"{pod.name}:10254",
            "controller_namespace": self.namespace, "controller_pod": pod.name, "controller_class": "k8s.io/nginx",
        }  # fmt: skip

    def _of_process(self, pod: Pod, scrapes: list[float]) -> Iterator[Written]:
        labels, number = self._labels(pod), self.pods.index(pod) + 1
        for name, more, value in (
            ("nginx_process_connections", {"state": "active"}, lambda _: 10.0 * number),
            ("nginx_process_resident_memory_bytes", {}, lambda _: 1e6 * number),
            ("nginx_process_cpu_seconds_total", {}, lambda at: 0.1 * number * (at - pod.since)),
        ):
            yield Written(
                {"__name__": f"{PREFIX}_{name}", **labels, **more}, [(at, value(at)) for at in scrapes]
            )  # fmt: skip
        up = {name: labels[name] for name in ("job", "namespace", "pod", "instance")}
        yield Written({"__name__": "up", **up}, [(at, 1.0) for at in scrapes])


def _counted(labels: Mapping[str, str], requests: list[Request], pod: Pod, scrapes: list[float]) -> Iterator[Written]:
    seen = [(at, *_seen(requests, pod, at)) for at in scrapes]

    def written(name: str, value: Callable[[Request], float], **more: str) -> Written:
        sums = [0.0, *itertools.accumulate(map(value, requests))]
        samples = [(at, float(sums[last] - sums[first])) for at, first, last in seen if last > first]
        return Written({"__name__": f"{PREFIX}_{name}", **labels, **more}, samples)

    yield written("requests", lambda _: 1)
    yield written("request_duration_seconds_count", lambda _: 1)
    yield written("request_duration_seconds_sum", lambda one: one.seconds)
    yield written("response_size_sum", lambda one: one.sent)
    yield written("request_size_sum", lambda one: one.received)
    for bound in (*BOUNDS, math.inf):
        le = "+Inf" if bound == math.inf else f"{bound:g}"
        yield written("request_duration_seconds_bucket", _within(bound), le=le)


def _within(bound: float) -> Callable[[Request], float]:
    return lambda one: one.seconds <= bound


def _seen(requests: list[Request], pod: Pod, at: float) -> tuple[int, int]:
    """Which requests a counter holds at a scrape: it is there from its first on, and begins anew when nginx does."""
    born = max((again for again in pod.restarts if again <= at), default=-math.inf)
    return bisect.bisect_right(requests, born, key=_at), bisect.bisect_right(requests, at, key=_at)


def _at(request: Request) -> float:
    return request.at


def steady(
    rng: random.Random, start: float, end: float, *, pace: float, pods: Iterable[str], namespace: str, ingress: str,
    errors: Mapping[str, float],
) -> Iterator[Request]:  # fmt: skip
    """Requests at random moments, `pace` a second, with shares of statuses, durations over several decades."""
    names, at = list(pods), start
    while (at := at + rng.expovariate(pace)) < end:
        chance, status = rng.random(), "200"
        for one, share in errors.items():
            chance -= share
            if chance < 0:
                status = one
                break
        yield Request(
            at, rng.choice(names), namespace, ingress, status, min(rng.lognormvariate(-3, 1.2), 9.9),
            rng.randrange(100, 20000), rng.randrange(50, 900),
        )  # fmt: skip


def bucket_of(seconds: float) -> int:
    """The number of the bucket that a duration falls into."""
    return bisect.bisect_left(BOUNDS, seconds)


def percentile(values: list[float], share: float) -> float:
    """The value that a share of all does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def figures(requests: list[Request], window: float) -> dict[str, float]:
    """What the metrics of one value should say of requests in a window."""
    seconds = [one.seconds for one in requests]
    failed = sum(one.status.startswith("5") for one in requests)
    return {
        "ingress_request_count": len(requests),
        "ingress_request_4xx_count": sum(one.status.startswith("4") for one in requests),
        "ingress_request_5xx_count": failed,
        "ingress_success_rate": 1 - failed / len(requests),
        "ingress_request_duration_average": sum(seconds) / len(seconds),
        "ingress_request_duration_50percentage": percentile(seconds, 0.5),
        "ingress_request_duration_95percentage": percentile(seconds, 0.95),
        "ingress_request_duration_99percentage": percentile(seconds, 0.99),
        "ingress_request_volume": len(requests) / window,
        "ingress_request_network_sent": sum(one.sent for one in requests) / window,
        "ingress_request_network_received": sum(one.received for one in requests) / window,
    }


def values(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Each metric's rows of an API answer; one row without labels is its number."""
    found: dict[str, Any] = {}
    for result in answer["results"]:
        rows = result["data"]["result"]
        plain = len(rows) == 1 and not rows[0]["metric"] and "value" in rows[0]
        found[result["metric_name"]] = float(rows[0]["value"][1]) if plain else rows
    return found


def settings_of(url: str, **more: Any) -> PrometheusSettings:
    """Settings for a Prometheus that scrapes each 15 s."""
    return PrometheusSettings.model_validate({"url": url, "scrape_interval": SCRAPE, "timeout": 30, **more})
