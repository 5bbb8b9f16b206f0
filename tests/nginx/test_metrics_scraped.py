"""A number's whole way: requests, nginx's count, the controller's exposition, a real Prometheus, our answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from prometheus_client.parser import text_string_to_metric_families

from gateway_operator.ingress.scrape import Scrape
from gateway_operator.ingress.server import make_app
from gateway_operator.ingress.snapshot import Snapshot
from gateway_operator.observe.metrics import Asked, Metrics, as_json, read
from gateway_operator.observe.prometheus import Prometheus
from gateway_operator.observe.tenant import Tenant
from gateway_operator.settings_api import PrometheusSettings
from lab.servers import prometheus as lab
from tests.nginx.conftest import running
from tests.nginx.controlled import Controlled, controlled
from tests.nginx.harness import Backend, Gateway, eventually, free_port
from tests.nginx.objects import ingress, rule, secret, world

REQUESTS = "nginx_ingress_controller_requests"
USED = "nginx_ingress_controller_nginx_process_cpu_seconds_total"
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


async def counters(address: str) -> dict[tuple[str, str], float]:
    """What the controller says right now of the Ingress's requests, by path and status."""
    async with ClientSession() as session, session.get(f"http://{address}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
        samples = [one for family in families for one in family.samples if family.name == REQUESTS]
    return {
        (one.labels["path"], one.labels["status"]): one.value for one in samples if one.labels.get("ingress") == "web"
    }


async def test_certificates_describe_themselves(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Who issued a host's certificate and when it ends, under upstream's labels; a new certificate replaces the old."""
    site = ingress("web", rule("web.test", ("/", "Prefix", "a")), tls=[(["web.test"], "pair")])
    authority = trustme.CA(organization_name="Issuers", organization_unit_name="unit")

    def objects(pair: trustme.LeafCert) -> Snapshot:
        chain = b"".join(item.bytes() for item in pair.cert_chain_pems)
        held = secret("pair", chain, pair.private_key_pem.bytes())
        return world(site, services={"a": backends["a"].port}, secrets=[held])

    async def shown(address: str, name: str) -> list[tuple[dict[str, str], float]]:
        async with ClientSession() as session, session.get(f"http://{address}/metrics") as answer:
            families = text_string_to_metric_families(await answer.text())
        return [(one.labels, one.value) for item in families for one in item.samples if item.name == name]

    first, second = (authority.issue_cert("web.test") for _ in range(2))
    async with controlled(gateway, objects(first)) as run, exposed(run) as address:
        for pair in (first, second):
            run.show(objects(pair))
            leaf = x509.load_pem_x509_certificate(pair.cert_chain_pems[0].bytes())
            serial = str(leaf.serial_number)

            async def is_shown(serial: str = serial) -> bool:
                found = await shown(address, "nginx_ingress_controller_ssl_certificate_info")
                return [labels["serial_number"] for labels, _ in found] == [serial]

            await eventually(is_shown, 60)
            [(labels, value)] = await shown(address, "nginx_ingress_controller_ssl_certificate_info")
            place = {"namespace": "apps", "class": "c", "host": "web.test", "secret_name": "pair"}
            own = {"controller_class": "c", "controller_namespace": "n", "controller_pod": "p"}
            identifier = f"{leaf.fingerprint(hashes.SHA256()).hex()}-{serial}"
            facts = {"issuer_organization": "Issuers", "issuer_common_name": "", "public_key_algorithm": "ECDSA"}
            assert labels == place | own | facts | {"identifier": identifier, "serial_number": serial}
            assert value == 1
            [(labels, ends)] = await shown(address, "nginx_ingress_controller_ssl_expire_time_seconds")
            assert labels == place | own
            assert ends == leaf.not_valid_after_utc.timestamp()


async def test_requests_arrive_as_numbers(
    gateway: Gateway, backends: dict[str, Backend], prometheus_server: lab.Prometheus
) -> None:
    """Each request is counted once, by project; what is answered is what the scrape saw, however late that was."""
    settings = PrometheusSettings.model_validate({"url": prometheus_server.url, "scrape_interval": 1})
    site = ingress("web", rule("web.test", ("/", "Prefix", "a"), ("/gone", "Prefix", "nobody")))
    async with controlled(gateway, world(site, services={"a": backends["a"].port})) as run, exposed(run) as address:

        async def serves() -> bool:
            return await gateway.backend_of("web.test") == "a"

        await eventually(serves, 60)  # the one request to / that was answered so far
        for _ in range(40):
            await gateway.backend_of("web.test")
        for _ in range(10):
            await gateway.backend_of("web.test", "/gone")
        sent = {("/", "200"): 41.0, ("/gone", "503"): 10.0}

        async def counted() -> bool:
            found = await counters(address)
            return all(found.get(key, 0) >= number for key, number in sent.items())

        await eventually(counted, 60)
        truth = await counters(address)  # no more requests come, so that this is final
        labels = {"job": "edge-metrics", "namespace": "n", "pod": "p"}  # what `Controlled` calls itself
        prometheus_server.scrape("edge", address, labels)

        async def scraped() -> bool:
            both = (f"sum({REQUESTS})", f'min(count_over_time({USED}{{job="edge-metrics"}}[1h]))')
            (requests, scrapes) = (prometheus_server.query(text, time.time()) for text in both)
            # a rate needs two scrapes
            return bool(requests and scrapes) and float(requests[0]["value"][1]) >= sum(truth.values()) and (
                float(scrapes[0]["value"][1]) >= 3
            )  # fmt: skip

        await eventually(scraped, 120)
        client = Prometheus(settings)
        metrics = Metrics(client, settings)

        async def ask(tenant: Tenant) -> dict[str, Any]:
            # an hour's window holds the whole test, however slow the machine is
            query = read(Asked(metrics_filter=".", duration="1h"), time.time())
            page = as_json(await metrics.ask(query, tenant), is_range=False)
            return {
                result["metric_name"]: [(row["metric"], float(row["value"][1])) for row in result["data"]["result"]]
                for result in page["results"]
            }

        found = await ask(Tenant.project("apps", "edge", "n"))
        other = await ask(Tenant.project("others", "edge", "n", own=False))
        await client.close()
    assert {key: truth[key] for key in sent} == sent
    total, failed = sum(truth.values()), sum(value for (_, status), value in truth.items() if status[0] == "5")
    assert found["ingress_request_count"] == [({}, total)]
    assert found["ingress_request_5xx_count"] == [({}, failed)]
    assert found["ingress_count_by_ingress"] == [({"namespace": "apps", "ingress": "web"}, total)]
    for name in ("ingress_active_connections", "ingress_request_memory_bytes", "ingress_request_duration_average"):
        assert found[name], name
        assert found[name][0][1] > 0, name
    assert found["ingress_request_cpu_usage"][0][1] >= 0
    assert not any(other.values())
