"""What KubeSphere's metrics get wrong (reference: its section 3.1 and users' threads), one test a fault."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway_operator.observe.tenant import Tenant
from lab.servers import prometheus as lab
from tests.observe.metrics.traffic import SCRAPE, Ask, Gateway, Pod, Request, values

_NUMBERS = itertools.count()
Make = Callable[..., Gateway]


@pytest.fixture
def make(prometheus_server: lab.Prometheus, end: float) -> Make:
    """Write a gateway of this test alone: half an hour of scrapes; requests are given as seconds before the end."""

    def made(*requests: tuple[float, dict[str, Any]], pods: tuple[str, ...] = ("a",), honour: bool = False) -> Gateway:
        gateway = Gateway(f"g{next(_NUMBERS)}", "gateways", [Pod(name, end - 1800) for name in pods], honour=honour)
        usual = {
            "pod": "a", "namespace": "shop", "ingress": "web", "status": "200", "seconds": 0.02,
            "sent": 1000, "received": 100,
        }  # fmt: skip
        gateway.requests = [Request(at=end - ago, **usual | more) for ago, more in requests]
        prometheus_server.write(gateway.series(end - 1800, end))
        return gateway

    return made


def project(gateway: Gateway, namespace: str = "shop", **more: Any) -> Tenant:
    """A project with that gateway as its own."""
    return Tenant.project(namespace, gateway.name, gateway.namespace, **more)


async def test_kk4451_kk4493_first_increments_of_a_new_series_count(ask: Ask, make: Make, end: float) -> None:
    """kk#4493, #4451: the first requests of a new gateway, Ingress or status are not lost, and one request is 1."""
    gateway = make(*[(100.0, {})] * 40, (50.0, {"ingress": "young"}), (20.0, {"status": "404"}))
    found = values(await ask(project(gateway), time=end))
    assert found["ingress_request_count"] == 42
    assert found["ingress_request_4xx_count"] == 1
    assert found["ingress_request_duration_average"] == pytest.approx(0.02)


async def test_con2899_the_total_does_not_change_at_each_refresh(ask: Ask, make: Make, end: float) -> None:
    """con#2899: however a moment lies between scrapes, a count is whole, and the same while nothing happens."""
    gateway = make(*[(100.0 + number, {}) for number in range(100)])
    counts = {
        values(await ask(project(gateway), time=end - shift, metrics_filter="^ingress_request_count$"))[
            "ingress_request_count"
        ]
        for shift in (0, 1, 4, 7.5, 11, 14, 29)
    }
    assert counts == {100}


async def test_no_failures_is_zero_and_no_traffic_is_nothing(ask: Ask, make: Make, end: float) -> None:
    """4xx and 5xx are 0 where all went well; a gateway without requests says so instead of 0 %."""
    found = values(await ask(project(make((100.0, {}))), time=end))
    assert (found["ingress_request_4xx_count"], found["ingress_request_5xx_count"]) == (0, 0)
    assert found["ingress_success_rate"] == 1
    answer = await ask(project(make()), time=end)
    assert {result["empty"] for result in answer["results"] if not result["data"]["result"]} == {"NoRequests"}


async def test_idle_is_not_0_percent(ask: Ask, make: Make, end: float) -> None:
    """A share of no requests has no value; over time it is a gap."""
    gateway = make((1000.0, {}), (1000.0, {"status": "500"}))
    idle = values(await ask(project(gateway), time=end))
    assert idle["ingress_request_count"] == 0
    for name in ("ingress_success_rate", "ingress_request_duration_average", "ingress_request_duration_99percentage"):
        assert idle[name] == []
    answer = await ask(project(gateway), start=end - 1500, end=end, step="5m", metrics_filter="ingress_success_rate")
    (row,) = answer["results"][0]["data"]["result"]
    assert row["values"] == [[end - 900, "0.5"]]


async def test_only_failures_is_0_percent(ask: Ask, make: Make, end: float) -> None:
    """A gateway that fails every request has a success rate, and it is 0."""
    found = values(await ask(project(make((100.0, {"status": "502"}))), time=end))
    assert found["ingress_success_rate"] == 0


async def test_4xx_is_no_failure_of_the_gateway(ask: Ask, make: Make, end: float) -> None:
    """A client's mistakes don't count against the gateway; their share is a metric of its own."""
    gateway = make((100.0, {}), (90.0, {"status": "404"}), (80.0, {"status": "499"}), (70.0, {"status": "503"}))
    found = values(await ask(project(gateway), time=end, metrics_filter="^ingress_(success|[45]xx)_rate$"))
    assert found == {"ingress_success_rate": 0.75, "ingress_4xx_rate": 0.5, "ingress_5xx_rate": 0.25}


async def test_the_average_is_of_the_window(ask: Ask, make: Make, end: float) -> None:
    """The mean of the window's requests in one series, not of the gateway's whole life in one series a label set."""
    gateway = make(
        *[(1500.0, {"seconds": 9.0})] * 50, (100.0, {"seconds": 0.1}), (90.0, {"ingress": "b", "seconds": 0.3})
    )
    found = values(await ask(project(gateway), time=end))
    assert found["ingress_request_duration_average"] == pytest.approx(0.2)


async def test_95_is_95(ask: Ask, make: Make, end: float) -> None:
    """The 95th percentile isn't the 90th (3.2.0 to 3.3.0): 7 % slow requests show in it."""
    gateway = make(*[(100.0, {})] * 93, *[(100.0, {"seconds": 2.0})] * 7)
    found = values(await ask(project(gateway), time=end))
    assert 1 < found["ingress_request_duration_95percentage"] <= 2.5
    assert found["ingress_request_duration_50percentage"] < 0.025


async def test_what_is_slower_than_the_last_bucket_shows(ask: Ask, make: Make, end: float) -> None:
    """The quantiles end at 10 s, where the histogram's last bucket ends; how much lies beyond is a metric."""
    gateway = make(*[(100.0, {})] * 97, *[(100.0, {"seconds": 60.0})] * 3)
    found = values(await ask(project(gateway), time=end, metrics_filter="99percentage|slow"))
    assert found == {"ingress_request_duration_99percentage": 10, "ingress_slow_rate": pytest.approx(0.03)}
    fast = values(await ask(project(make((100.0, {}))), time=end, metrics_filter="slow"))
    assert fast == {"ingress_slow_rate": 0}


async def test_equal_names_in_two_namespaces_stay_apart(ask: Ask, make: Make, end: float) -> None:
    """Ingresses are told apart by namespace and name."""
    gateway = make(*[(100.0, {"ingress": "web"})] * 3, *[(90.0, {"ingress": "web", "namespace": "other"})] * 6)
    found = values(await ask(Tenant.cluster(gateway.name, gateway.namespace), time=end))
    rows = found["ingress_request_volume_by_ingress"]
    assert {row["metric"]["namespace"]: float(row["value"][1]) * 300 for row in rows} == pytest.approx(
        {"shop": 3, "other": 6}
    )


async def test_pod_filter_filters(ask: Ask, make: Make, end: float) -> None:
    """`pod` means that pod and no other whose name begins alike."""
    requests = [*[(100.0, {"pod": "a"})] * 2, *[(100.0, {"pod": "a-b"})] * 5]
    tenant = project(make(*requests, pods=("a", "a-b")))
    for pod, count, memory in (("a", 2, 1e6), ("a-b", 5, 2e6)):
        found = values(await ask(tenant, time=end, pod=pod))
        assert (found["ingress_request_count"], found["ingress_request_memory_bytes"]) == (count, memory)
    assert values(await ask(tenant, time=end, pod="gone"))["ingress_request_count"] == []


async def test_a_long_step_skips_nothing(ask: Ask, make: Make, end: float) -> None:
    """A range with a step of 10 min counts all of it, though a window of 5 min is the default."""
    gateway = make(*[(float(ago), {}) for ago in range(10, 1800, 10)])
    answer = await ask(
        project(gateway), start=end - 1200, end=end, step="10m", metrics_filter="^ingress_request_count$"
    )
    (row,) = answer["results"][0]["data"]["result"]
    assert [float(value) for _, value in row["values"]] == [pytest.approx(60, abs=1)] * 3


async def test_days_and_weeks_are_durations(ask: Ask, make: Make, end: float) -> None:
    """`1d` and `1w` are what the docs promise."""
    gateway = make((1700.0, {}), (10.0, {}))
    for duration in ("1d", "1w"):
        answer = await ask(project(gateway), time=end, duration=duration)
        assert values(answer)["ingress_request_count"] == 2
    assert answer["window"] == 604800


async def test_connections_are_the_gateways_own(ask: Ask, make: Make, end: float) -> None:
    """A project on the cluster gateway doesn't see what the gateway itself uses; its owner does, without `job`."""
    gateway = make((100.0, {}))
    share = await ask(project(gateway, own=False), time=end)
    hidden = {result["metric_name"] for result in share["results"] if result.get("empty") == "NotYourGateway"}
    assert hidden == {"ingress_active_connections", "ingress_request_memory_bytes", "ingress_request_cpu_usage"}
    assert values(share)["ingress_request_count"] == 1
    assert values(await ask(project(gateway), time=end))["ingress_active_connections"] == 10


async def test_one_bad_pod_shows(ask: Ask, make: Make, end: float) -> None:
    """The mean over pods hides one that eats all; the maximum shows it."""
    tenant = project(make(pods=("a", "b", "c")))
    found = values(await ask(tenant, time=end, metrics_filter="memory|cpu"))
    assert found["ingress_memory_bytes_max"] > 1.4 * found["ingress_request_memory_bytes"]
    assert found["ingress_cpu_usage_max"] > 1.4 * found["ingress_request_cpu_usage"]


async def test_order_stays(ask: Ask, make: Make, end: float) -> None:
    """Metrics and rows come in one order, always the same."""
    tenant = project(make(*[(100.0, {"ingress": name}) for name in "cab"]))
    first = await ask(tenant, time=end)
    for _ in range(3):
        assert await ask(tenant, time=end) == first
    rows = values(first)["ingress_request_volume_by_ingress"]
    assert [row["metric"]["ingress"] for row in rows] == ["a", "b", "c"]


async def test_con2812_no_data_has_a_reason(
    ask: Ask, make: Make, prometheus_server: lab.Prometheus, end: float
) -> None:
    """R9: nothing is said to be nothing because nobody scrapes, or because the gateway is down."""
    nobody = Tenant.project("shop", "nobody", "gateways")
    assert {result["empty"] for result in (await ask(nobody, time=end))["results"]} == {"NotScraped"}
    labels = {"__name__": "up", "job": "down-metrics", "namespace": "gateways", "instance": "i"}
    prometheus_server.write([lab.Written(labels, [(end - SCRAPE, 0.0), (end, 0.0)])])
    down = Tenant.project("shop", "down", "gateways")
    assert {result["empty"] for result in (await ask(down, time=end))["results"]} == {"TargetDown"}


async def test_nothing_of_an_older_project_of_that_name(ask: Ask, make: Make, end: float) -> None:
    """R12: what was served before the project was created isn't shown."""
    gateway = make(*[(1000.0, {})] * 5, *[(200.0, {})] * 3)
    since = datetime.fromtimestamp(end - 500, UTC)
    tenant = project(gateway, since=since)
    answer = await ask(tenant, time=end, duration="1h")
    assert (values(answer)["ingress_request_count"], answer["window"]) == (3, 500)
    before = await ask(tenant, time=end - 600)
    assert {result["empty"] for result in before["results"]} == {"BeforeCreation"}
    over_time = await ask(tenant, start=end - 1500, end=end, step="5m", metrics_filter="^ingress_request_count$")
    (row,) = over_time["results"][0]["data"]["result"]
    assert row["values"] == [[end, "3"]]


@pytest.mark.parametrize("chosen", ["shop|other", ".*", "other", "(?i)OTHER", "web|x"])
async def test_filters_do_not_widen(ask: Ask, make: Make, end: float, chosen: str) -> None:
    """An expression over Ingresses chooses among one's own, whatever it says."""
    gateway = make((100.0, {"ingress": "web"}), (100.0, {"ingress": "other", "namespace": "other"}))
    found = values(await ask(project(gateway), time=end, resources_filter=chosen))
    assert found["ingress_request_count"] in ([], 1)
    rows = found["ingress_request_volume_by_ingress"]
    assert all(row["metric"]["namespace"] == "shop" for row in rows)


@pytest.mark.parametrize(
    "chosen",
    [
        'web"} or nginx_ingress_controller_requests{exported_namespace=~"',
        'x",exported_namespace=~".+',
        '.*"})) #',
        "\\",
    ],
)
async def test_nobody_leaves_the_quotes(ask: Ask, make: Make, end: float, chosen: str) -> None:
    """What closes quotes in KubeSphere's text is here an expression that fits no Ingress, or is refused."""
    from gateway_operator.observe.errors import BadQuery

    gateway = make((100.0, {"namespace": "other"}))
    try:
        found = values(await ask(project(gateway), time=end, resources_filter=chosen))
    except BadQuery:
        return
    assert found["ingress_request_count"] == []


async def test_scrapes_that_honour_labels(ask: Ask, make: Make, end: float) -> None:
    """Both ways of scraping give the same; a project called like the gateways' namespace isn't taken for the target."""
    gateway = make((100.0, {}), (90.0, {"namespace": "other"}), honour=True)
    found = values(await ask(project(gateway), time=end))
    assert found["ingress_request_count"] == 1
    assert found["ingress_request_volume_by_ingress"][0]["metric"] == {"namespace": "shop", "ingress": "web"}
    plain = make((100.0, {}), (90.0, {"namespace": "other"}))
    same_name = values(await ask(project(plain, namespace="gateways", own=False), time=end))
    assert same_name["ingress_request_count"] == []
