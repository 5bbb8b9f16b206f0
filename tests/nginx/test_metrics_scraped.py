"""A number's whole way: requests, nginx's count, the controller's exposition, a real Prometheus, our answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway_operator.ingress.scrape import Scrape
from gateway_operator.ingress.server import make_app
from gateway_operator.observe.metrics import Asked, Metrics, as_json, read
from gateway_operator.observe.prometheus import Prometheus
from gateway_operator.observe.tenant import Tenant
from gateway_operator.settings_api import PrometheusSettings
from lab.servers import prometheus as lab
from tests.nginx.conftest import running
from tests.nginx.controlled import Controlled, controlled
from tests.nginx.harness import Backend, Gateway, eventually, free_port
from tests.nginx.objects import ingress, rule, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


@pytest.fixture
def gateway(nginx_binary: Path) -> Iterator[Gateway]:
    """A gateway of this test alone."""
    with running(nginx_binary, "dynamic") as found:
        yield found


@pytest.fixture
def prometheus_server(tmp_path: Path) -> Iterator[lab.Prometheus]:
    """A Prometheus of this test alone."""
    server = lab.Prometheus.start(tmp_path / "prometheus")
    yield server
    server.stop()


@asynccontextmanager
async def exposed(run: Controlled) -> AsyncIterator[str]:
    """The controller's own port; yields its address."""

    async def ready() -> str:
        return ""

    scrape = Scrape(run.gateway.status, run.gateway.supervised, run.controller.delivery)
    app = make_app(run.options, run.metrics, run.controller.state, why_not_ready=ready, numbers=scrape.numbers)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def test_requests_arrive_as_numbers(
    gateway: Gateway, backends: dict[str, Backend], prometheus_server: lab.Prometheus
) -> None:
    """Each request is counted once, by project."""
    settings = PrometheusSettings.model_validate({"url": prometheus_server.url, "scrape_interval": 1})
    site = ingress("web", rule("web.test", ("/", "Prefix", "a"), ("/gone", "Prefix", "nobody")))
    async with controlled(gateway, world(site, services={"a": backends["a"].port})) as run, exposed(run) as address:
        labels = {"job": "edge-metrics", "namespace": "n", "pod": "p"}  # what `Controlled` calls itself
        prometheus_server.scrape("edge", address, labels)

        async def serves() -> bool:
            return await gateway.backend_of("web.test") == "a"

        await eventually(serves, 60)
        client = Prometheus(settings)
        metrics = Metrics(client, settings)

        async def ask(tenant: Tenant) -> dict[str, Any]:
            page = as_json(await metrics.ask(read(Asked(metrics_filter="."), time.time()), tenant), is_range=False)
            return {
                result["metric_name"]: [(row["metric"], float(row["value"][1])) for row in result["data"]["result"]]
                for result in page["results"]
            }

        owner = Tenant.project("apps", "edge", "n")

        async def count() -> float:
            return sum(value for _, value in (await ask(owner))["ingress_request_count"])

        async def settled() -> bool:
            return await count() >= 1

        await eventually(settled, 120)
        before = await count()
        for _ in range(40):
            await gateway.backend_of("web.test")
        for _ in range(10):
            await gateway.backend_of("web.test", "/gone")

        async def counted() -> bool:
            return await count() >= before + 50

        await eventually(counted, 120)
        found = await ask(owner)
        other = await ask(Tenant.project("others", "edge", "n", own=False))
        await client.close()
    assert found["ingress_request_count"] == [({}, before + 50)]
    assert found["ingress_request_5xx_count"] == [({}, 10)]
    assert found["ingress_count_by_ingress"] == [({"namespace": "apps", "ingress": "web"}, before + 50)]
    for name in ("ingress_active_connections", "ingress_request_memory_bytes", "ingress_request_duration_average"):
        assert found[name], name
        assert found[name][0][1] > 0, name
    assert found["ingress_request_cpu_usage"][0][1] >= 0
    assert not any(other.values())
