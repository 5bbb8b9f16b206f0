"""Metrics under upstream's names and labels, so that dashboards and alerts go on working."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway_operator.ingress.applied import Applied
from gateway_operator.ingress.certificates import Facts
from gateway_operator.ingress.checks import Checks
from gateway_operator.ingress.data_socket import DataStatus
from gateway_operator.ingress.exposition import family, labels
from gateway_operator.ingress.graph_types import Graph, ServedCertificate
from gateway_operator.ingress.request_metrics import PREFIX, request_text
from gateway_operator.ingress.supervised import NginxStatus

_COUNTED = {
    "success": "Configurations that nginx took",
    "errors": "Configurations that nginx did not take",
    "nginx_reloads_total": "Reloads that were proven",
    "nginx_reload_errors_total": "Configurations that nginx refused, or that never served",
}
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
        self.data_full = self._gauge("data_memory_full", "Whether nginx lacked memory for data in the last pass")
        self.known_holes = self._gauge(
            "nginx_known_holes", "Known holes of the running nginx, see docs/spec/ingress.md"
        )
        self._quarantined = self._gauge("quarantined_ingresses", "Ingresses left out because nginx refuses them")
        self._reload_status = self._gauge("nginx_last_reload_status", "Whether the last reload went well")
        self._reload_time = self._gauge("nginx_last_reload_milliseconds", "How long the last reload took until proven")
        self._counts = {"success": 0, "errors": 0, "nginx_reloads_total": 0, "nginx_reload_errors_total": 0}
        self.checks = Checks(self._own)
        self.page: Mapping[str, Any] = {}
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
        self._process = StateCollector(self._own)
        self.registry.register(self._process)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, _LABELS, registry=self.registry).labels(**self._own)

    def take_pass(self, graph: Graph, quarantined: int, state: Applied) -> None:
        """Take what a pass found and reached."""
        self._process.orphans, self._process.certificates = graph.orphans, graph.certificates
        self._quarantined.set(quarantined)
        self.config_hash.set(state.config_hash)

    def reloaded(self, milliseconds: int) -> None:
        """Count a configuration that nginx took."""
        self._counts["success"] += 1
        self._counts["nginx_reloads_total"] += 1
        self.reload_ok.set(1)
        self._reload_status.set(1)
        self._reload_time.set(milliseconds)
        self.reload_time.set_to_current_time()

    def refused(self) -> None:
        """Count a configuration that nginx did not take."""
        self._counts["errors"] += 1
        self._counts["nginx_reload_errors_total"] += 1
        self.reload_ok.set(0)
        self._reload_status.set(0)

    def text(self) -> bytes:
        """Return all metrics as Prometheus text; meant for a thread, since many routes have many series."""
        own = labels(self._own)
        lines = [line for name, text in _COUNTED.items() for line in self._count_lines(name, text, own)]
        counted = "".join([*lines, *self.checks.lines()]) + request_text(self.page, self._own)
        return generate_latest(self.registry) + counted.encode()

    def _count_lines(self, name: str, text: str, own: str) -> Iterable[str]:
        return family(f"{PREFIX}_{name}", "counter", text, [("", own, self._counts[name])])

    def take_nginx(self, found: NginxNumbers) -> None:
        """Take what nginx and its supervisor said at the start of a scrape."""
        self._process.numbers = found
        self.page = found.page


@dataclass(frozen=True)
class NginxNumbers:
    """What was asked for a scrape: stub_status, `/metrics-data`, the supervisor and the data socket.

    Empty or None where nobody answered.
    """

    connections: Mapping[str, int] = field(default_factory=dict)
    page: Mapping[str, Any] = field(default_factory=dict)
    supervisor: NginxStatus | None = None
    data: DataStatus | None = None


class StateCollector(Collector):
    """What holds at the moment of a scrape: nginx's numbers, and lists that change too often to keep as objects."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self._own = dict(own)
        self.numbers = NginxNumbers()
        self.orphans: Iterable[tuple[str, str, str]] = ()
        self.certificates: Iterable[ServedCertificate] = ()

    def collect(self) -> Iterable[Metric]:
        """Yield the families; none of nginx while it doesn't answer."""
        yield from self._of_objects()
        yield from self._of_supervisor()
        yield from self._of_data()
        if self.numbers.connections:
            yield from self._of_connections(self.numbers.connections)

    def _family(self, name: str, text: str, names: Iterable[str] = ()) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=[*self._own, *names])

    def _of_objects(self) -> Iterable[Metric]:
        values = list(self._own.values())
        text = "When the certificate of a host ends, in seconds since 1970"
        names = ("host", "namespace", "secret_name", "class")
        ends = self._family("ssl_expire_time_seconds", text, names)
        facts = self._family("ssl_certificate_info", "What the certificate of a host is", (*names, *Facts._fields))
        for served in self.certificates:
            place = [*values, served.host, served.namespace, served.secret, self._own["controller_class"]]
            ends.add_metric(place, served.expires)
            facts.add_metric([*place, *served.facts], 1)
        yield from (ends, facts)
        text = "Ingresses whose backend has no Service or no endpoint"
        orphans = self._family("orphan_ingress", text, ("namespace", "ingress", "type"))
        for item in self.orphans:
            orphans.add_metric([*values, *item], 1)
        yield orphans

    def _of_supervisor(self) -> Iterable[Metric]:
        nginx = self.numbers.supervisor
        if nginx is None:
            return
        numbers = {
            "nginx_draining_workers": ("Workers of old configurations that end their requests", nginx.draining_workers),
            "nginx_draining_generations": ("Old configurations whose workers drain", nginx.draining_generations),
            "nginx_draining_ended": ("Old configurations ended because too many drained", nginx.draining_ended),
            "nginx_restarts": ("Times that nginx ended by itself and was started again", nginx.restarts),
            "nginx_process_resident_memory_bytes": ("Resident memory of nginx's processes", nginx.resident_bytes),
            "nginx_process_virtual_memory_bytes": ("Virtual memory of nginx's processes", nginx.virtual_bytes),
            "nginx_process_num_procs": ("Processes of nginx", nginx.processes),
            "nginx_process_oldest_start_time_seconds": ("When the oldest of them started", nginx.oldest_start),
        }
        yield from self._gauges(numbers)
        for name, text, value in (
            ("cpu_seconds", "Processor time of nginx's processes", nginx.cpu_seconds),
            ("read_bytes", "Bytes that nginx's processes read from storage", nginx.read_bytes),
            ("write_bytes", "Bytes that nginx's processes wrote to storage", nginx.written_bytes),
        ):
            used = CounterMetricFamily(f"{PREFIX}_nginx_process_{name}", text, labels=list(self._own))
            used.add_metric(list(self._own.values()), value)
            yield used

    def _of_data(self) -> Iterable[Metric]:
        data = self.numbers.data
        if data is None:
            return
        numbers = {
            "nginx_data_version": ("Version of the data that nginx has", data.version),
            "nginx_data_keys": ("Entries of the data that nginx has", data.keys),
            "nginx_data_capacity_bytes": ("Memory of nginx for data", data.capacity),
            "nginx_data_free_bytes": ("Memory of nginx for data that no entry ever used", data.free),
        }
        yield from self._gauges(numbers)

    def _gauges(self, numbers: Mapping[str, tuple[str, float]]) -> Iterable[Metric]:
        for name, (text, value) in numbers.items():
            found = self._family(name, text)
            found.add_metric(list(self._own.values()), value)
            yield found

    def _of_connections(self, numbers: Mapping[str, int]) -> Iterable[Metric]:
        names, values = list(self._own), list(self._own.values())
        prefix = f"{PREFIX}_nginx_process"
        now = GaugeMetricFamily(f"{prefix}_connections", "Open connections by state", labels=[*names, "state"])
        for state in ("active", "reading", "writing", "waiting"):
            now.add_metric([*values, state], numbers[state])
        yield now
        total = CounterMetricFamily(f"{prefix}_connections", "Connections so far by state", labels=[*names, "state"])
        for state in ("accepted", "handled"):
            total.add_metric([*values, state], numbers[state])
        yield total
        requests = CounterMetricFamily(f"{prefix}_requests", "Requests so far", labels=names)
        requests.add_metric(values, numbers["requests"])
        yield requests


def parse_stub_status(text: str) -> dict[str, int]:
    """Read nginx's stub_status page; empty when it is something else."""
    numbers = [int(item) for item in re.findall(r"\d+", text)]
    names = ("active", "accepted", "handled", "requests", "reading", "writing", "waiting")
    return dict(zip(names, numbers, strict=True)) if len(numbers) == len(names) else {}
