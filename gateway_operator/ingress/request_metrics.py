"""Upstream's request metrics, made of what nginx's workers counted: dashboards and canary tools query these names.

`host` and `path` are those of the rule, never the client's, so their number is bounded by the Ingresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway_operator.ingress.exposition import Sample, family, labels

PREFIX = "nginx_ingress_controller"
LABELS = ("namespace", "ingress", "service", "canary", "host", "path", "method", "status")  # as nginx's page has them
CLUSTER_LABELS = ("namespace", "policy", "host", "path", "cluster", "status_class")
CLUSTER_REQUESTS = "gateway_cluster_requests_total"
HISTOGRAMS = {
    "request_duration_seconds": "The time from the first byte of a request to the last one sent, in seconds",
    "response_duration_seconds": "The time that the backend took for its answer, in seconds",
    "header_duration_seconds": "The time until the backend's first header, in seconds",
    "connect_duration_seconds": "The time to connect to the backend, in seconds",
    "request_size": "The length of a request, with line, headers and body, in bytes",
    "response_size": "The length of an answer, with line, headers and body, in bytes",
}


@dataclass(frozen=True)
class Series:
    """What was counted under one set of labels; histograms are (sum, counts of each bucket)."""

    labels: str
    requests: float
    histograms: Mapping[str, tuple[float, Sequence[float]]]


def request_text(page: Mapping[str, Any], own: Mapping[str, str]) -> str:
    """Return the families of nginx's `/metrics-data`; `own` are the controller's labels."""
    found = [_series(item, own) for item in page.get("series") or ()]
    bounds = page.get("bounds") or {}
    lines = [*family(f"{PREFIX}_requests", "counter", "Requests so far", (("", s.labels, s.requests) for s in found))]
    for name, text in HISTOGRAMS.items():
        edges = bounds.get("time" if name.endswith("_seconds") else "length") or ()
        lines += family(f"{PREFIX}_{name}", "histogram", text, _samples(found, name, [f"{edge:g}" for edge in edges]))
    return "".join([*lines, *_clusters(page, own)])


def _clusters(page: Mapping[str, Any], own: Mapping[str, str]) -> Iterable[str]:
    """Return what each cluster of a policy's path answered; nothing where no policy was ever asked."""
    found = [(labels({**own, **_cluster(item)}), float(item["requests"])) for item in page.get("clusters") or ()]
    text = "Requests of policies' paths by the cluster that got them"
    return family(CLUSTER_REQUESTS, "counter", text, (("", name, count) for name, count in found)) if found else ()


def _cluster(item: Mapping[str, Any]) -> dict[str, str]:
    return dict(zip(CLUSTER_LABELS, map(str, item["labels"]), strict=True))


def _series(item: Mapping[str, Any], own: Mapping[str, str]) -> Series:
    values = dict(zip(LABELS, map(str, item["labels"]), strict=True))
    histograms = {name: (float(found["sum"]), found["counts"]) for name, found in item["histograms"].items()}
    return Series(labels({**own, **values}), float(item["requests"]), histograms)


def _samples(found: Iterable[Series], name: str, edges: Sequence[str]) -> Iterator[Sample]:
    for series in found:
        total, counts = series.histograms.get(name, (0.0, ()))
        if not any(counts):
            continue
        sofar = 0.0
        for edge, count in zip([*edges, "+Inf"], counts, strict=True):
            sofar += count
            yield "_bucket", f'{series.labels},le="{edge}"', sofar
        yield "_sum", series.labels, total
        yield "_count", series.labels, sofar
