"""Every metric against the truth: known requests, written as scrapes saw them, asked for through our expressions."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_operator.observe.metrics import CATALOG
from gateway_operator.observe.tenant import Tenant
from lab.servers import prometheus as lab
from tests.observe.metrics.traffic import Ask, Gateway, Pod, Request, bucket_of, figures, percentile, values

OFF = 0.02
WINDOWS = [
    pytest.param(300, 0, id="5m"),
    pytest.param(900, 1500, id="15m-over-a-restart"),
    pytest.param(3600, 0, id="1h-over-a-restart"),
    pytest.param(3600, 1807, id="1h-over-a-rollout"),
    pytest.param(7000, 3, id="all"),
]


def compare(found: dict[str, Any], truth: dict[str, float], gateway_seconds: list[float]) -> None:
    """Counts and means within 2 %, quantiles within the next bucket."""
    for name, expected in truth.items():
        if name.endswith("percentage"):
            share = int(name.removesuffix("percentage")[-2:]) / 100
            assert abs(bucket_of(found[name]) - bucket_of(percentile(gateway_seconds, share))) <= 1, name
        else:
            assert found[name] == pytest.approx(expected, rel=OFF, abs=1), name


@pytest.mark.parametrize(("window", "ago"), WINDOWS)
async def test_a_projects_share(ask: Ask, shared: Gateway, shop: Tenant, end: float, window: int, ago: int) -> None:
    """A project sees exactly its own requests, over rollouts and restarts."""
    at = end - ago
    requests = shared.truth(at - window, at, lambda one: one.namespace == "shop")
    found = values(await ask(shop, time=at, duration=f"{window}s"))
    compare(found, figures(requests, window), [one.seconds for one in requests])
    rates = {(row["metric"]["namespace"], row["metric"]["ingress"]): float(row["value"][1])
             for row in found["ingress_request_volume_by_ingress"]}  # fmt: skip
    expected = {
        ("shop", name): sum(one.ingress == name for one in requests) / window for name in ("web", "api")
    }  # fmt: skip
    assert rates == pytest.approx(expected, rel=OFF, abs=0.005)


@pytest.mark.parametrize(("window", "ago"), WINDOWS)
async def test_the_whole_cluster(ask: Ask, shared: Gateway, cluster: Tenant, end: float, window: int, ago: int) -> None:
    """The cluster's view has every project's requests, and what the gateway itself uses."""
    at = end - ago
    requests = shared.truth(at - window, at)
    found = values(await ask(cluster, time=at, duration=window))
    compare(found, figures(requests, window), [one.seconds for one in requests])
    rates = {
        (row["metric"]["namespace"], row["metric"]["ingress"]) for row in found["ingress_request_volume_by_ingress"]
    }
    assert rates == {("shop", "web"), ("shop", "api"), ("other", "web")}


async def test_what_the_pods_use(ask: Ask, cluster: Tenant, end: float) -> None:
    """Connections are those of all pods at once, memory and processors have mean and maximum, by pod if wanted."""
    found = values(await ask(cluster, time=end, metrics_filter=".*"))
    assert found["ingress_active_connections"] == pytest.approx(40)
    assert found["ingress_request_memory_bytes"] == pytest.approx(2e6)
    assert found["ingress_memory_bytes_max"] == pytest.approx(3e6)
    assert found["ingress_request_cpu_usage"] == pytest.approx(0.2)
    assert found["ingress_cpu_usage_max"] == pytest.approx(0.3)
    over_rollout = values(await ask(cluster, time=end, duration="2h", metrics_filter="connections"))
    assert over_rollout["ingress_active_connections"] == pytest.approx(35, rel=0.03)


async def test_what_a_restarted_nginx_forgot(ask: Ask, prometheus_server: lab.Prometheus, end: float) -> None:
    """A failure after a restart counts, where as many were counted before, too; an outage of Prometheus adds none."""
    restart, outage = end - 1000, (end - 2400, end - 1500)
    gateway = Gateway("forgetful", "gateways", [Pod("a", end - 3600, restarts=(restart,))])
    failed = (end - 3000, end - 60)
    gateway.requests = [
        Request(at, "a", "shop", "web", status, 0.1, 100, 100)
        for at, status in sorted([*((end - 3600 + 10 * n, "200") for n in range(360)), *((at, "503") for at in failed)])
    ]
    prometheus_server.write(
        lab.Written(one.labels, [(at, value) for at, value in one.samples if not outage[0] < at < outage[1]])
        for one in gateway.series(end - 3600, end)
    )
    tenant = Tenant.project("shop", gateway.name, gateway.namespace)
    for ago, count in ((0, 1), (1500, 0)):
        found = values(await ask(tenant, time=end - ago, duration=300, metrics_filter="^ingress_request_(5xx_)?count$"))
        requests = gateway.truth(end - ago - 300, end - ago)
        assert found["ingress_request_5xx_count"] == count
        if not ago:
            assert found["ingress_request_count"] == len(requests)


async def test_over_time(ask: Ask, shared: Gateway, shop: Tenant, end: float) -> None:
    """Steps of a range share the requests among them: their sum is the count of the whole."""
    answer = await ask(shop, start=end - 5400, end=end, step="10m", metrics_filter="^ingress_request_count$")
    (row,) = answer["results"][0]["data"]["result"]
    assert answer["results"][0]["data"]["resultType"] == "matrix"
    assert len(row["values"]) == 10
    truth = [
        len(shared.truth(at - 600, at, lambda one: one.namespace == "shop")) for at, _ in row["values"]
    ]  # fmt: skip
    assert [float(value) for _, value in row["values"]] == pytest.approx(truth, rel=OFF)
    assert row["min_value"] == min((value for _, value in row["values"]), key=float)


async def test_clusters_of_a_policy(ask: Ask, prometheus_server: lab.Prometheus, end: float) -> None:
    """What a policy sent to each cluster is counted by cluster, for the policy's own project only."""
    base = {
        "__name__": "gateway_cluster_requests_total", "job": "edge-metrics", "namespace": "gateways", "host": "x.test",
        "controller_namespace": "gateways", "controller_pod": "a", "path": "/tea",
    }  # fmt: skip
    counts = {("shop", "p", "wuhan", "2xx"): 30, ("shop", "p", "wuhan", "5xx"): 10, ("shop", "p", "zhuhai", "2xx"): 20,
              ("other", "p", "wuhan", "2xx"): 500}  # fmt: skip
    prometheus_server.write(
        lab.Written(
            {**base, "exported_namespace": namespace, "policy": policy, "cluster": cluster, "status_class": status},
            [(end - 60, count / 2), (end - 30, float(count))],
        )
        for (namespace, policy, cluster, status), count in counts.items()
    )
    tenant = Tenant.project("shop", "edge", "gateways")
    found = values(await ask(tenant, time=end, metrics_filter="^ingress_cluster_", resources_filter="p"))
    numbers = {
        name: {row["metric"]["cluster"]: float(row["value"][1]) for row in rows} for name, rows in found.items()
    }  # fmt: skip
    assert numbers["ingress_cluster_requests"] == {"wuhan": 40, "zhuhai": 20}
    assert numbers["ingress_cluster_success_rate"] == {"wuhan": 0.75, "zhuhai": 1}
    labels = {"namespace": "shop", "policy": "p", "host": "x.test", "path": "/tea", "cluster": "wuhan"}
    assert found["ingress_cluster_requests"][0]["metric"] == labels


async def test_shares_of_failures(ask: Ask, shared: Gateway, shop: Tenant, end: float) -> None:
    """The shares of 4xx and 5xx are there apart, and the catalogue has every name that is answered."""
    answer = await ask(shop, time=end, duration="1h", metrics_filter=".")
    found = values(answer)
    requests = shared.truth(end - 3600, end, lambda one: one.namespace == "shop")
    for digit in "45":
        expected = sum(one.status.startswith(digit) for one in requests) / len(requests)
        assert found[f"ingress_{digit}xx_rate"] == pytest.approx(expected, rel=OFF, abs=0.001)
    assert [result["metric_name"] for result in answer["results"]] == list(CATALOG)
