"""Metrics under upstream's names and labels, so that dashboards and alerts go on working."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "nginx_ingress_controller"
_LABELS = ("controller_class", "controller_namespace", "controller_pod")


class Metrics:
    """All metrics of one controller, in a registry of their own."""

    def __init__(self, *, controller_class: str, namespace: str, pod: str, version: str) -> None:
        self.registry = CollectorRegistry()
        self._own = dict(zip(_LABELS, (controller_class, namespace, pod), strict=True))
        self.config_hash = self._gauge("config_hash", "Running configuration hash, as a number")
        self.reload_ok = self._gauge("config_last_reload_successful", "Whether the last configuration was taken")
        self.reload_time = self._gauge(
            "config_last_reload_successful_timestamp_seconds", "When a configuration was last taken"
        )
        self.success = self._counter("success", "Configurations that nginx took")
        self.errors = self._counter("errors", "Configurations that nginx did not take")
        self.quarantined = self._gauge("quarantined_ingresses", "Ingresses left out because nginx refuses them")
        self._expiry = Gauge(
            f"{PREFIX}_ssl_expire_time_seconds",
            "When the certificate of a host ends, in seconds since 1970",
            (*_LABELS, "host", "namespace", "secret_name", "class"),
            registry=self.registry,
        )
        self._orphans = Gauge(
            f"{PREFIX}_orphan_ingress",
            "Ingresses whose backend has no Service or no endpoint",
            (*_LABELS, "namespace", "ingress", "type"),
            registry=self.registry,
        )
        leader = Gauge(
            f"{PREFIX}_leader_election_status",
            "1 for the leader",
            (*_LABELS, "name"),
            registry=self.registry,
        )
        self.leader = leader.labels(**self._own, name=pod)
        build = Gauge(
            f"{PREFIX}_build_info", "Version of the controller", (*_LABELS, "release"), registry=self.registry
        )
        build.labels(**self._own, release=version).set(1)
        self._process = ProcessCollector(self._own)
        self.registry.register(self._process)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, _LABELS, registry=self.registry).labels(**self._own)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, _LABELS, registry=self.registry).labels(**self._own)

    def set_orphans(self, orphans: Iterable[tuple[str, str, str]]) -> None:
        """Take (namespace, ingress, type) of the newest pass."""
        self._orphans.clear()
        for namespace, ingress, kind in orphans:
            self._orphans.labels(**self._own, namespace=namespace, ingress=ingress, type=kind).set(1)

    def set_expiries(self, expiries: Iterable[tuple[str, str, str, float]]) -> None:
        """Take (host, namespace, secret, time) of the newest pass."""
        self._expiry.clear()
        for host, namespace, secret, at in expiries:
            labels = {
                "host": host,
                "namespace": namespace,
                "secret_name": secret,
                "class": self._own["controller_class"],
            }
            self._expiry.labels(**self._own, **labels).set(at)

    def set_nginx(self, numbers: Mapping[str, int]) -> None:
        """Take what nginx said of its connections."""
        self._process.numbers = dict(numbers)


class ProcessCollector(Collector):
    """nginx's own numbers, as they were asked for at the start of a scrape."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self._own = dict(own)
        self.numbers: dict[str, int] = {}

    def collect(self) -> Iterable[Metric]:
        """Yield the families; none while nginx doesn't answer."""
        if not self.numbers:
            return
        names, values = list(self._own), list(self._own.values())
        prefix = f"{PREFIX}_nginx_process"
        now = GaugeMetricFamily(f"{prefix}_connections", "Open connections by state", labels=[*names, "state"])
        for state in ("active", "reading", "writing", "waiting"):
            now.add_metric([*values, state], self.numbers[state])
        yield now
        total = CounterMetricFamily(f"{prefix}_connections", "Connections so far by state", labels=[*names, "state"])
        total.name = f"{prefix}_connections"
        for state in ("accepted", "handled"):
            total.add_metric([*values, state], self.numbers[state])
        yield total
        requests = CounterMetricFamily(f"{prefix}_requests", "Requests so far", labels=names)
        requests.add_metric(values, self.numbers["requests"])
        yield requests


def parse_stub_status(text: str) -> dict[str, int]:
    """Read nginx's stub_status page; empty when it is something else."""
    numbers = [int(item) for item in re.findall(r"\d+", text)]
    names = ("active", "accepted", "handled", "requests", "reading", "writing", "waiting")
    return dict(zip(names, numbers, strict=True)) if len(numbers) == len(names) else {}
