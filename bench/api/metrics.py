"""Metrics through the API beside bare calls of Prometheus, and beside the truth.

The same expressions are asked of the same server in turns: once through the route (HTTP, parameters, expressions, our
client, KubeSphere's shape), once by a plain client with as many connections. The errors are those of known traffic
(a rollout and a restarted nginx in it), of our expressions and of KubeSphere's, which stand in its public source.

A project's traffic is dense enough that 2 % of each count in five minutes is more than one request. What a rarely
used project finds has rows of its own, in requests and without a mark: a counter that goes from 1 to nothing and to 1
again between two looks of an hour shows nobody that nginx began anew, so that some failures are missing.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import uvloop

from bench.api.serving import serving
from bench.results import Part, Row, row
from bench.stats import median, percentile
from gateway_operator.observe.metrics import Asked, Metrics, as_json, read
from gateway_operator.observe.metrics.catalog import STANDARD
from gateway_operator.observe.metrics.expressions import Period
from gateway_operator.observe.metrics.ground import Ground
from gateway_operator.observe.prometheus import Prometheus
from gateway_operator.observe.tenant import Tenant
from gateway_operator.settings_api import PrometheusSettings
from gateway_operator.web.routes import metrics as route
from lab.servers import prometheus as lab
from tests.observe.metrics import traffic

CONNECTIONS = 8
MOST = 1.3
WHO = "KubeSphere's expression"
RAW = "bare calls"
RARE = "rare"  # a project that is rarely asked
Params = dict[str, str]


def measure(*, quick: bool = False, seed: int = 1) -> Part:
    """Measure; `quick` shows that it works."""
    return uvloop.run(_measured(quick=quick, seed=seed))


async def _measured(*, quick: bool = False, seed: int = 1) -> Part:
    with tempfile.TemporaryDirectory(prefix="bench-metrics-") as name:
        server = lab.Prometheus.start(Path(name) / "run")
        try:
            end = float(int(time.time()) // traffic.SCRAPE * traffic.SCRAPE - 120)
            gateway = _served(end, random.Random(seed), ingresses=4 if quick else 20)  # noqa: S311
            server.write(gateway.series(end - 7200, end))
            errors = await _errors(server, gateway, end)
            rows, details = await _times(server, gateway, end, rounds=5 if quick else 20)
        finally:
            server.stop()
    return Part((*rows, *errors), details)


def _served(end: float, rng: random.Random, *, ingresses: int) -> traffic.Gateway:
    """Two hours of three projects on three pods, one of which took over from another; one nginx began anew."""
    start, half = end - 7200, end - 3600
    pods = [
        traffic.Pod("a", start, restarts=(end - 1798,)),
        traffic.Pod("b", start, half),
        traffic.Pod("c", half + traffic.SCRAPE),
    ]
    gateway = traffic.Gateway("edge", "gateways", pods)
    for number in range(ingresses):
        for since, until, names in ((start, half, "ab"), (half + traffic.SCRAPE, end, "ac")):
            gateway.requests += traffic.steady(
                rng, since, until, pace=4 / ingresses, pods=names, namespace="shop" if number % 2 else "other",
                ingress=f"site-{number}", errors={"503": 0.1, "404": 0.1},
            )  # fmt: skip
            if number % 2:
                gateway.requests += traffic.steady(
                    rng, since, until, pace=2 / ingresses, pods=names, namespace=RARE, ingress=f"site-{number}",
                    errors={"503": 0.01},
                )  # fmt: skip
    return gateway


def _settings(server: lab.Prometheus) -> PrometheusSettings:
    return PrometheusSettings.model_validate(
        {"url": server.url, "scrape_interval": traffic.SCRAPE, "timeout": 60, "connections": CONNECTIONS}
    )


# --- how long


async def _times(
    server: lab.Prometheus, gateway: traffic.Gateway, end: float, *, rounds: int
) -> tuple[list[Row], dict[str, Any]]:
    rows, details = [], {}
    cases: dict[str, Params] = {
        "fifteen metrics of one moment": {"time": f"{end}", "duration": "1h"},
        "fifteen metrics of a range, 24 points": {"start": f"{end - 6900}", "end": f"{end}", "step": "5m"},
    }
    async with _api(server, gateway) as url, aiohttp.ClientSession() as session:
        for what, params in cases.items():

            async def ours(params: Params = params) -> None:
                async with session.get(url, params=params) as answer:
                    found = json.loads(await answer.read())
                    if answer.status != 200 or any("error" in one for one in found["results"]):  # noqa: PLR2004
                        raise RuntimeError(f"the API answered {answer.status}: {found}")

            calls = list(_calls(server, gateway, params))
            samples = await _turns(ours, partial(_bare, session, calls), rounds)
            mine, bare = [one for one, _ in samples], [other for _, other in samples]
            ratio = median([one / other for one, other in samples])
            rows += [
                row(f"{what}: time, median", "ms", median(mine) * 1000, median(bare) * 1000, peer_name=RAW),
                row(f"{what}: time beside {RAW}, median of turns", "x", ratio, mark=MOST),
                row(
                    f"{what}: time, p95", "ms", percentile(mine, 0.95) * 1000, percentile(bare, 0.95) * 1000,
                    peer_name=RAW,
                ),
            ]  # fmt: skip
            details[what] = {"turns": samples}
    return rows, details


async def _turns(
    ours: Callable[[], Awaitable[None]], theirs: Callable[[], Awaitable[None]], rounds: int
) -> list[tuple[float, float]]:
    """Let both take turns, after one unmeasured turn each; who begins changes."""
    found = []
    for number in range(rounds + 1):
        taken = {}
        for name, work in (("ours", ours), ("theirs", theirs))[:: 1 if number % 2 else -1]:
            began = time.perf_counter()
            await work()
            taken[name] = time.perf_counter() - began
        found.append((taken["ours"], taken["theirs"]))
    return found[1:]


def _calls(server: lab.Prometheus, gateway: traffic.Gateway, params: Params) -> Iterator[tuple[str, Params]]:
    """The same questions as the API's, as (address, form)."""
    query = read(Asked(**params), time.time())
    window = query.duration or query.times.step
    ground = Ground(_project(gateway), query, "exported_namespace", Period(window, traffic.SCRAPE))
    at = {"time": params["time"]} if "time" in params else {**params, "step": str(query.times.step)}
    for metric in STANDARD:
        yield f"{server.url}/api/v1/query{'_range' if query.times.is_range else ''}", {
            "query": metric.build(ground).text(), **at,
        }  # fmt: skip


async def _bare(session: aiohttp.ClientSession, calls: list[tuple[str, Params]]) -> None:
    gate = asyncio.Semaphore(CONNECTIONS)

    async def one(url: str, form: Params) -> None:
        async with gate, session.post(url, data=form) as answer:
            json.loads(await answer.read())

    await asyncio.gather(*(one(*call) for call in calls))


@dataclass
class _Everybody:
    """Lets everybody in: what asking the API server costs is measured elsewhere."""

    async def authenticate(self, _request: Any) -> Any:
        return None

    async def check(self, *_: Any) -> None:
        return None


@dataclass
class _One:
    """The gateway of the one project."""

    tenant_of_all: Tenant

    def serving(self, _namespace: str) -> list[Any]:
        return []

    async def tenant(self, _namespace: str, _name: str = "") -> Tenant:
        return self.tenant_of_all


@asynccontextmanager
async def _api(server: lab.Prometheus, gateway: traffic.Gateway) -> AsyncIterator[str]:
    """The route behind a real HTTP server; yields its address for the project."""
    client = Prometheus(_settings(server))
    metrics = Metrics(client, _settings(server))
    services = SimpleNamespace(access=_Everybody(), gateways=_One(_project(gateway)), metrics=metrics)
    try:
        async with serving(route.router, services) as url:
            yield f"{url}{route.PREFIX}/namespaces/shop/ingresses"
    finally:
        await client.close()


def _project(gateway: traffic.Gateway, name: str = "shop") -> Tenant:
    return Tenant.project(name, gateway.name, gateway.namespace)


# --- how right

WINDOWS = (300, 3600)
MOMENTS = (0, 15, 600, 1200, 1500, 1800, 2400, 3300)  # before the end; all are moments of a scrape
COUNTS = ("ingress_request_count", "ingress_request_4xx_count", "ingress_request_5xx_count")
COMPARED = {
    **dict.fromkeys(COUNTS, "error"),
    "ingress_request_duration_average": "error",
    "ingress_request_duration_95percentage": "error in buckets",
    "ingress_request_volume": "error",
    "ingress_request_network_sent": "error",
}


def theirs(name: str, namespace: str, job: str, window: int) -> str:
    """KubeSphere's expression (release 3.4) of a metric, for a project and all its Ingresses."""
    base = "nginx_ingress_controller"
    mine = f'exported_namespace="{namespace}",ingress=~".*",job="{job}"'
    requests, seconds = f"{base}_requests", f"{base}_request_duration_seconds"
    found = {
        "ingress_request_count": f"round(sum(increase({requests}{{{mine}}}[{window}s])))",
        "ingress_request_4xx_count": f'round(sum(increase({requests}{{{mine},status=~"[4].*"}}[{window}s])))',
        "ingress_request_5xx_count": f'round(sum(increase({requests}{{{mine},status=~"[5].*"}}[{window}s])))',
        "ingress_request_duration_average": f"sum_over_time({seconds}_sum{{{mine}}}[{window}s]) / "
        f"sum_over_time({seconds}_count{{{mine}}}[{window}s])",
        "ingress_request_duration_95percentage": "histogram_quantile(0.95, sum by (le) "
        f"(rate({seconds}_bucket{{{mine}}}[{window}s])))",
        "ingress_request_volume": f"round(sum(irate({requests}{{{mine}}}[{window}s])), 0.001)",
        "ingress_request_network_sent": f"sum(irate({base}_response_size_sum{{{mine}}}[{window}s]))",
    }
    return found[name]


async def _errors(server: lab.Prometheus, gateway: traffic.Gateway, end: float) -> list[Row]:
    """Mean error of each metric over several moments, of both; nothing where something was counts as wholly wrong."""
    client = Prometheus(_settings(server))
    metrics = Metrics(client, _settings(server))
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for window in WINDOWS:
        for at in (end - ago for ago in MOMENTS):
            requests = gateway.truth(at - window, at, lambda one: one.namespace == "shop")
            truth = traffic.figures(requests, window)
            query = read(Asked(time=f"{at}", duration=f"{window}s"), time.time())
            ours = traffic.values(as_json(await metrics.ask(query, _project(gateway)), is_range=False))
            for name in COMPARED:
                series = server.query(theirs(name, "shop", gateway.job, window), at)
                peer = float(series[0]["value"][1]) if series else None
                mine = ours[name] if isinstance(ours[name], float) else None
                pair = (_error(name, mine, truth), _error(name, peer, truth))
                found.setdefault((name, window), []).append(pair)
    rare = [await _rare(server, metrics, gateway, end, window) for window in WINDOWS]
    await client.close()
    return [*(_error_row(name, window, pairs) for (name, window), pairs in found.items()), *rare]


async def _rare(server: lab.Prometheus, metrics: Metrics, gateway: traffic.Gateway, end: float, window: int) -> Row:
    """How many failures of a rarely used project are missing or too many, in the mean over the moments."""
    name, pairs, truths = "ingress_request_5xx_count", [], []
    for at in (end - ago for ago in MOMENTS):
        truth = len(gateway.truth(at - window, at, lambda one: (one.namespace, one.status) == (RARE, "503")))
        query = read(Asked(time=f"{at}", duration=f"{window}s", metrics_filter=f"^{name}$"), time.time())
        ours = traffic.values(as_json(await metrics.ask(query, _project(gateway, RARE)), is_range=False))[name]
        series = server.query(theirs(name, RARE, gateway.job, window), at)
        peer = float(series[0]["value"][1]) if series else 0.0
        pairs.append((abs(ours - truth), abs(peer - truth)))
        truths.append(truth)
    mine, other = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    seen = f"{name} over {window // 60} min of a rarely used project, {sum(truths) / len(truths):.0f} of them"
    return row(f"{seen}: mean error", "requests", mine, other, peer_name=WHO)


def _error_row(name: str, window: int, pairs: list[tuple[float, float]]) -> Row:
    mine, peer = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    buckets = COMPARED[name] == "error in buckets"
    what = f"{name} over {window // 60} min: mean {COMPARED[name]} against the truth"
    mark = 1.0 if buckets else 2.0
    return row(what, "buckets" if buckets else "%", mine, peer, peer_name=WHO, mark=mark)


def _error(name: str, found: float | None, truth: Mapping[str, float]) -> float:
    expected = truth[name]
    if COMPARED[name] == "error in buckets":
        return float(abs(traffic.bucket_of(found or 0.0) - traffic.bucket_of(expected)))
    if not expected:
        return 0.0 if not found else 100.0
    return abs((found or 0.0) - expected) / expected * 100
