"""The metrics that can be asked for: names, units, meanings and expressions, in one table. Pure.

The first fifteen are KubeSphere's; those of ours come after them, under names that none of its filters finds by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway_operator.observe.metrics.expressions import (
    count,
    count_of,
    mean,
    over_pods,
    pace,
    quantile,
    rate,
    rest,
    share,
    typical_total,
)
from gateway_operator.observe.metrics.ground import Ground
from gateway_operator.observe.metrics.promql import Expression, Matcher, same
from gateway_operator.observe.metrics.query import expression

CLIENT_ERRORS = Matcher("status", "=~", "4..")
SERVER_ERRORS = Matcher("status", "=~", "5..")
BY_INGRESS = ("namespace", "ingress")


@dataclass(frozen=True)
class Metric:
    """One row of the catalogue; `labels` are what its series are told apart by."""

    name: str
    unit: str
    description: str
    build: Callable[[Ground], Expression]
    labels: tuple[str, ...] = ()
    own_gateway_only: bool = False
    standard: bool = True


def _rows() -> Iterator[Metric]:
    yield from _counts()
    yield from _durations()
    yield from _flows()
    yield from _processes()
    yield from _extras()
    yield from _of_clusters()


def _counts() -> Iterator[Metric]:
    def failed(matcher: Matcher) -> Callable[[Ground], Expression]:
        return lambda g: count_of(g.requests("requests", matcher), g.requests("requests"), g.over)

    yield Metric(
        "ingress_request_count",
        "requests",
        "Requests in the window, those counted first in a new series included.",
        lambda g: count(g.requests("requests"), g.over),
    )
    text = "Requests in the window that were answered with {}; 0 where others were answered."
    yield Metric("ingress_request_4xx_count", "requests", text.format("400 to 499"), failed(CLIENT_ERRORS))
    yield Metric("ingress_request_5xx_count", "requests", text.format("500 to 599"), failed(SERVER_ERRORS))
    yield Metric(
        "ingress_success_rate",
        "share",
        "Share of requests, 0 to 1, not answered with 500 to 599: a client's mistake is no failure of the gateway. "
        "Empty while no requests come.",
        lambda g: rest(g.requests("requests", SERVER_ERRORS), g.requests("requests"), g.over),
    )


def _durations() -> Iterator[Metric]:
    name = "request_duration_seconds"
    yield Metric(
        "ingress_request_duration_average",
        "seconds",
        "Mean duration of the window's requests. Empty while no requests come.",
        lambda g: mean(g.requests(f"{name}_sum"), g.requests(f"{name}_count"), g.over),
    )

    def below(percent: int) -> Callable[[Ground], Expression]:
        return lambda g: quantile(percent / 100, g.requests(f"{name}_bucket"), g.over)

    for percent in (50, 95, 99):
        yield Metric(
            f"ingress_request_duration_{percent}percentage",
            "seconds",
            f"Duration that {percent} % of the window's requests did not exceed, estimated within its bucket; the last "
            "bucket ends at 10 s. Empty while no requests come.",
            below(percent),
        )


def _flows() -> Iterator[Metric]:
    yield Metric(
        "ingress_request_volume",
        "requests/s",
        "Requests a second, over the window.",
        lambda g: pace(g.requests("requests"), g.over),
    )
    yield Metric(
        "ingress_request_volume_by_ingress",
        "requests/s",
        "Requests a second, over the window, of each Ingress.",
        lambda g: pace(g.requests("requests"), g.over, g.by_ingress),
        labels=BY_INGRESS,
    )
    yield Metric(
        "ingress_request_network_sent",
        "bytes/s",
        "Answers in bytes a second, over the window.",
        lambda g: pace(g.requests("response_size_sum"), g.over),
    )
    yield Metric(
        "ingress_request_network_received",
        "bytes/s",
        "Requests in bytes a second, over the window.",
        lambda g: pace(g.requests("request_size_sum"), g.over),
    )


def _memory(ground: Ground) -> Expression:
    return ground.process("nginx_process_resident_memory_bytes")


def _processor(ground: Ground) -> Expression:
    return rate(ground.process("nginx_process_cpu_seconds_total"), ground.over)


def _processes() -> Iterator[Metric]:
    yield Metric(
        "ingress_active_connections",
        "connections",
        "Open connections of all pods together, averaged over the window.",
        lambda g: typical_total(
            g.process("nginx_process_connections", same("state", "active")), g.over
        ),
        own_gateway_only=True,
    )  # fmt: skip
    yield Metric(
        "ingress_request_memory_bytes",
        "bytes",
        "Resident memory of nginx, mean of the pods.",
        lambda g: over_pods("avg", _memory(g)),
        own_gateway_only=True,
    )
    yield Metric(
        "ingress_request_cpu_usage",
        "cores",
        "Processors that nginx uses over the window, mean of the pods.",
        lambda g: over_pods("avg", _processor(g)),
        own_gateway_only=True,
    )


def _extras() -> Iterator[Metric]:
    yield Metric(
        "ingress_memory_bytes_max",
        "bytes",
        "Resident memory of nginx in the pod that has most.",
        lambda g: over_pods("max", _memory(g)),
        own_gateway_only=True,
        standard=False,
    )
    yield Metric(
        "ingress_cpu_usage_max",
        "cores",
        "Processors that nginx uses over the window in the pod that uses most.",
        lambda g: over_pods("max", _processor(g)),
        own_gateway_only=True,
        standard=False,
    )
    for digit, matcher in (("4", CLIENT_ERRORS), ("5", SERVER_ERRORS)):
        yield Metric(
            f"ingress_{digit}xx_rate",
            "share",
            f"Share of requests, 0 to 1, answered with {digit}00 to {digit}99. Empty while no requests come.",
            _share_of(matcher),
            standard=False,
        )
    yield Metric(
        "ingress_slow_rate",
        "share",
        "Share of requests, 0 to 1, that took longer than the 10 s at which the quantiles end. Empty while no requests "
        "come.",
        lambda g: rest(
            g.requests("request_duration_seconds_bucket", same("le", "10")),
            g.requests("request_duration_seconds_count"),
            g.over,
        ),
        standard=False,
    )
    yield Metric(
        "ingress_count_by_ingress",
        "requests",
        "Requests in the window of each Ingress.",
        lambda g: count(g.requests("requests"), g.over, g.by_ingress),
        labels=BY_INGRESS,
        standard=False,
    )


def _of_clusters() -> Iterator[Metric]:
    labels = ("namespace", "policy", "host", "path", "cluster")
    text = " sent to each cluster by a ClusterTrafficPolicy; filters name policies."
    yield Metric(
        "ingress_cluster_requests",
        "requests",
        f"Requests in the window{text}",
        lambda g: count(g.clusters("requests_total"), g.over, g.by_cluster),
        labels=labels,
        standard=False,
    )
    yield Metric(
        "ingress_cluster_volume",
        "requests/s",
        f"Requests a second, over the window,{text}",
        lambda g: pace(g.clusters("requests_total"), g.over, g.by_cluster),
        labels=labels,
        standard=False,
    )
    yield Metric(
        "ingress_cluster_success_rate",
        "share",
        f"Share of requests, 0 to 1, not answered with 500 to 599, of those{text} Empty while no requests come.",
        lambda g: rest(
            g.clusters("requests_total", same("status_class", "5xx")),
            g.clusters("requests_total"),
            g.over,
            g.by_cluster,
        ),
        labels=labels,
        standard=False,
    )


def _share_of(matcher: Matcher) -> Callable[[Ground], Expression]:
    return lambda g: share(g.requests("requests", matcher), g.requests("requests"), g.over)


CATALOG: dict[str, Metric] = {metric.name: metric for metric in _rows()}
STANDARD = tuple(metric for metric in CATALOG.values() if metric.standard)


def chosen(pattern: str) -> tuple[Metric, ...]:
    """Return the metrics whose names contain what a regular expression finds; without one KubeSphere's fifteen."""
    if not pattern:
        return STANDARD
    found = expression("metrics_filter", pattern)
    return tuple(metric for name, metric in CATALOG.items() if found(name))
