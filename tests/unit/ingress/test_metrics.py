"""Metrics under upstream's names, and the controller's port."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from gateway_operator.ingress.applied import Applied, AppliedState
from gateway_operator.ingress.data_socket import DataStatus
from gateway_operator.ingress.graph import GraphBuilder
from gateway_operator.ingress.metrics import Metrics, NginxNumbers
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.server import make_app
from gateway_operator.ingress.snapshot import Snapshot
from gateway_operator.ingress.supervised import NginxStatus

OWN = {"controller_class": "c", "controller_namespace": "n", "controller_pod": "p"}
SERIES = {
    "labels": ["apps", "one", "web", "", "x.test", '/a"\\\n', "GET", "200"],
    "requests": 3,
    "histograms": {
        "request_duration_seconds": {"sum": 0.75, "counts": [1, 0, 2]},
        "connect_duration_seconds": {"sum": 0, "counts": [0, 0, 0]},
        "response_size": {"sum": 300, "counts": [0, 3]},
    },
}
PAGE: dict[str, Any] = {"bounds": {"time": [0.005, 0.25], "length": [1000]}, "series": [SERIES]}


def made() -> Metrics:
    return Metrics(controller_class="c", namespace="n", pod="p", version="1")


def samples(metrics: Metrics) -> dict[str, list[tuple[dict[str, str], float]]]:
    """All samples by name, as Prometheus reads them; this parser adds `_total` to counters that lack it."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    text = metrics.text().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            short = sample.name.removesuffix("_total")
            name = short if f"\n{short}{{" in text else sample.name
            found.setdefault(name, []).append((sample.labels, sample.value))
    return found


def test_requests_have_upstreams_names_and_labels() -> None:
    """What dashboards and canary tools query: names, labels, cumulative buckets, with values escaped."""
    metrics = made()
    metrics.take_nginx(NginxNumbers(page=PAGE))
    found = samples(metrics)
    prefix = "nginx_ingress_controller"
    [(labels, count)] = found[f"{prefix}_requests"]
    assert count == 3
    names = ("namespace", "ingress", "service", "canary", "host", "path", "method", "status")
    assert labels == OWN | dict(zip(names, SERIES["labels"], strict=True))  # type: ignore[arg-type]
    buckets = {item["le"]: value for item, value in found[f"{prefix}_request_duration_seconds_bucket"]}
    assert buckets == {"0.005": 1, "0.25": 1, "+Inf": 3}
    assert found[f"{prefix}_request_duration_seconds_sum"][0][1] == 0.75
    assert found[f"{prefix}_response_size_count"][0][1] == 3
    assert f"{prefix}_connect_duration_seconds_count" not in found


def test_reloads_and_data() -> None:
    """Reloads under upstream's and NIC's names; what supervisor and data socket tell."""
    metrics = made()
    metrics.reloaded(250)
    metrics.refused()
    graph = GraphBuilder().build(Snapshot())
    metrics.take_pass(graph, 2, Applied("gen-00000000000a"))
    used: dict[str, Any] = {"cpu_seconds": 1.5, "read_bytes": 5, "written_bytes": 6, "virtual_bytes": 7}
    used |= {"resident_bytes": 8, "processes": 3, "oldest_start": 9}
    nginx = NginxStatus(True, "gen-a", "gen-a", (1, 26), 2, False, 3, draining_workers=4, draining_ended=1, **used)
    metrics.take_nginx(NginxNumbers({}, {}, nginx, DataStatus(7, "ab", 12, 100, 200)))
    found = {name.removeprefix("nginx_ingress_controller_"): items[0][1] for name, items in samples(metrics).items()}
    expected = {
        "success": 1,
        "errors": 1,
        "nginx_reloads_total": 1,
        "nginx_reload_errors_total": 1,
        "nginx_last_reload_status": 0,
        "nginx_last_reload_milliseconds": 250,
        "config_last_reload_successful": 0,
        "config_hash": 10,
        "quarantined_ingresses": 2,
        "nginx_draining_workers": 4,
        "nginx_draining_ended": 1,
        "nginx_restarts": 3,
        "nginx_process_cpu_seconds_total": 1.5,
        "nginx_process_read_bytes_total": 5,
        "nginx_process_write_bytes_total": 6,
        "nginx_process_virtual_memory_bytes": 7,
        "nginx_process_resident_memory_bytes": 8,
        "nginx_process_num_procs": 3,
        "nginx_process_oldest_start_time_seconds": 9,
        "nginx_data_version": 7,
        "nginx_data_keys": 12,
        "nginx_data_free_bytes": 100,
        "nginx_data_capacity_bytes": 200,
    }
    assert {name: found.get(name) for name in expected} == expected


async def test_waiting_for_what_is_applied() -> None:
    """`/applied` answers at once when the token is old, else when something is applied or time is up."""
    state = AppliedState()
    state.set(Applied("gen-0123456789ab", 5, "d" * 64, 3))

    async def ready() -> str:
        return ""

    async def numbers() -> NginxNumbers:
        return NginxNumbers(page=PAGE)

    app = make_app(IngressOptions(), made(), state, why_not_ready=ready, numbers=numbers)
    async with TestClient(TestServer(app)) as client:
        first = await (await client.get("/applied")).json()
        assert first == {
            "token": f"0123456789ab.5.{'d' * 16}",
            "generation": "gen-0123456789ab",
            "dataVersion": 5,
            "dataDigest": "d" * 64,
            "configHash": 0x0123456789AB,
            "hosts": 3,
            "quarantine": {"count": 0, "ingresses": []},
            "multiCluster": {"digest": "", "problems": [], "contests": []},
        }
        same = await (await client.get("/applied", params={"after": first["token"], "timeout": "0.05"})).json()
        assert same == first
        waiting = asyncio.create_task(client.get("/applied", params={"after": first["token"]}))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        state.set(Applied("gen-0123456789ab", 6, "e" * 64, 4))
        assert (await (await waiting).json())["dataVersion"] == 6
        text = await (await client.get("/metrics")).text()
        assert "nginx_ingress_controller_requests{" in text
