"""A real Prometheus with known traffic in it."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway_operator.observe.metrics import Asked, Metrics, as_json, read
from gateway_operator.observe.prometheus import Prometheus
from gateway_operator.observe.tenant import Tenant
from lab.servers import prometheus as lab
from tests.observe.metrics.traffic import SCRAPE, Ask, Gateway, Pod, settings_of, steady


@pytest.fixture(scope="session")
def prometheus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Prometheus]:
    """A real Prometheus, one for each test process; tests write under jobs of their own."""
    server = lab.Prometheus.start(tmp_path_factory.mktemp("prometheus") / "run")
    yield server
    server.stop()


@pytest.fixture
async def client(prometheus_server: lab.Prometheus) -> AsyncIterator[Prometheus]:
    """Our client of it."""
    client = Prometheus(settings_of(prometheus_server.url))
    yield client
    await client.close()


@pytest.fixture
def ask(client: Prometheus, prometheus_server: lab.Prometheus) -> Ask:
    """Ask as the API does: parameters as text, KubeSphere's shape as the answer."""
    metrics = Metrics(client, settings_of(prometheus_server.url))

    async def asked(tenant: Tenant, **params: Any) -> Any:
        query = read(Asked(**{name: str(value) for name, value in params.items()}), time.time())
        return as_json(await metrics.ask(query, tenant), is_range=query.times.is_range)

    return asked


@pytest.fixture(scope="session")
def end() -> float:
    """The moment of the last scrape of the known traffic."""
    return float(int(time.time()) // SCRAPE * SCRAPE - 600)


@pytest.fixture(scope="session")
def shared(prometheus_server: lab.Prometheus, end: float) -> Gateway:
    """A cluster gateway with two hours of traffic of two projects, a rollout, and an nginx that began anew."""
    start, half = end - 7200, end - 3600
    pods = [Pod("a", start), Pod("b", start, half), Pod("c", half + SCRAPE)]
    pods[0] = Pod("a", start, restarts=(end - 1798.0,))
    gateway = Gateway("shared", "gateways", pods)
    rng = random.Random(7)
    for namespace, ingress, pace in (("shop", "web", 0.8), ("shop", "api", 0.5), ("other", "web", 1.0)):
        errors = {"503": 0.02, "404": 0.06}
        for since, until, names in ((start, half, "ab"), (half + SCRAPE, end, "ac")):
            gateway.requests += steady(
                rng, since, until, pace=pace, pods=names, namespace=namespace, ingress=ingress, errors=errors
            )
    prometheus_server.write(gateway.series(start, end))
    return gateway


@pytest.fixture
def shop(shared: Gateway) -> Tenant:
    """A project that is served by the cluster gateway."""
    return Tenant.project("shop", shared.name, shared.namespace, own=False)


@pytest.fixture
def cluster(shared: Gateway) -> Tenant:
    """Those who see all of the cluster gateway."""
    return Tenant.cluster(shared.name, shared.namespace)
