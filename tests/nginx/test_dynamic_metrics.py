"""What the status port tells of requests, for the controller to make metrics of."""

from __future__ import annotations

from typing import Any

import aiohttp

from gateway_operator.ingress.plan import RouteSettings
from gateway_operator.ingress.policies import Canary
from tests.nginx.dynamic_harness import Nginx, route, server, upstream
from tests.nginx.harness import Backend, eventually

Backends = dict[str, Backend]


async def metrics(nginx: Nginx) -> dict[str, Any]:
    """The page, read."""
    url = f"http://127.0.0.1:{nginx.machine.status_port}/metrics-data"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


async def test_requests_are_counted(nginx: Nginx, backends: Backends) -> None:
    """Counts, sums and buckets by rule host and path; never by what clients wrote."""
    settings = RouteSettings(canaries=(Canary("00bb", header="X-C", upstream_name="apps-b-80"),))
    await nginx.serve(
        upstream("00ff", backends["a"]),
        upstream("00bb", backends["b"]),
        server("*.x.test", route("/p", "00ff"), route("/c", "00ff", settings=settings)),
    )
    for number in range(5):
        await nginx.get("w.x.test", f"/p/{number}")
    await nginx.get("w.x.test", "/p", method="MKCOL")
    await nginx.get("w.x.test", "/c", headers={"X-C": "always"})
    await nginx.get("w.x.test", "/nothing")

    async def counted() -> dict[tuple[str, ...], dict[str, Any]]:
        series = {tuple(item["labels"]): item for item in (await metrics(nginx))["series"]}
        return series if sum(item["requests"] for item in series.values()) == 8 else {}

    series = await eventually(counted)
    route_labels = ("apps", "web", "00ff")
    assert {key: item["requests"] for key, item in series.items()} == {
        (*route_labels, "", "*.x.test", "/p", "GET", "200"): 5,
        (*route_labels, "", "*.x.test", "/p", "OTHER", "200"): 1,
        (*route_labels, "apps-b-80", "*.x.test", "/c", "GET", "200"): 1,
        ("", "", "", "", "*.x.test", "/", "GET", "404"): 1,
    }
    histograms = series[(*route_labels, "", "*.x.test", "/p", "GET", "200")]["histograms"]
    bounds = (await metrics(nginx))["bounds"]
    for name, found in histograms.items():
        kind = "length" if name.endswith("size") else "time"
        assert len(found["counts"]) == len(bounds[kind]) + 1
        assert sum(found["counts"]) == 5
    assert histograms["request_size"]["sum"] > 500
    assert bounds["time"] == [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]


async def test_reloads_keep_counting(nginx: Nginx, backends: Backends) -> None:
    """Counters go on over a reload, with what the old workers had not told yet."""
    from gateway_operator.ingress.policies import Profile

    backend = upstream("00ff", backends["a"])
    for size in ("1m", "2m", "3m"):
        await nginx.serve(backend, server("x.test", route("/", "00ff", profile=Profile(body_size=size))))
        await nginx.get("x.test")

    async def all_there() -> bool:
        series = (await metrics(nginx))["series"]
        return bool(sum(item["requests"] for item in series) == 3)

    await eventually(all_there)


async def test_off(nginx: Nginx, backends: Backends) -> None:
    """Without metrics there is no page, and no phase that would count."""
    rendered = await nginx.serve(upstream("00ff", backends["a"]), server("x.test", route("/", "00ff")), metrics=False)
    assert b"log_by_lua" not in rendered.files["nginx.conf"]
    assert await nginx.backend_of("x.test") == "a"
