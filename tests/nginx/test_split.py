"""Splits of a path over clusters, over both renderers: who gets how much, what reaches the backend, who is spared."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest

from gateway_operator.ingress.snapshot import Snapshot
from tests.nginx.harness import Backend, Gateway, free_port
from tests.nginx.policies import backend, cluster, members, path, policy

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")
CLUSTERS = ("wuhan", "zhuhai", "xian")


def tea(weights: dict[str, int | None], backends: dict[str, Backend], **more: Any) -> Snapshot:
    """One policy for x.test/tea; cluster wuhan has backend a, zhuhai b, xian c."""
    ports = dict(zip(CLUSTERS, (backends[name].port for name in "abc"), strict=True))
    return members([policy("p", path("x.test/tea", backend(weights, **more)))], ports)


async def many(served: Gateway, number: int, where: str = "/tea", **kwargs: Any) -> Counter[str]:
    """How often each backend answers requests over a few kept connections."""
    found: Counter[str] = Counter()

    async def some(count: int) -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            for _ in range(count):
                url = f"http://127.0.0.1:{served.http}{where}"
                async with session.get(url, headers={"Host": "x.test"}, **kwargs) as answer:
                    found[(await answer.json())["backend"] if answer.status == 200 else str(answer.status)] += 1

    await asyncio.gather(*(some(number // 4) for _ in range(4)))
    return found


@pytest.mark.parametrize("weights", [(80, 20, None), (70, 20, 10), (99, 1, None)])
async def test_shares(served: Gateway, backends: dict[str, Backend], weights: tuple[int | None, ...]) -> None:
    """Requests are spread by weight, within three standard deviations."""
    named = {name: weight for name, weight in zip(CLUSTERS, weights, strict=True) if weight is not None}
    await served.serve(tea(named, backends))
    number = 800
    found = await many(served, number)
    for weight, name in zip(weights, "abc", strict=True):
        share = (weight or 0) / 100
        margin = 3 * (number * share * (1 - share)) ** 0.5
        assert abs(found[name] - number * share) <= margin + 1, found


async def test_d1_the_uri_arrives_as_the_client_wrote_it(served: Gateway, backends: dict[str, Backend]) -> None:
    """D1: path, query, escapes and bodies reach the pod unchanged, through the first cluster as through another."""
    await served.serve(tea({"wuhan": 50, "zhuhai": 50}, backends))
    for uri in ("/tea/green?x=1&y=%2F", "/tea/a%2Fb%20c?q", "/tea//x/../y;v=1"):
        for _ in range(4):
            assert (await served.told("x.test", uri))["path"] == uri
    found = await served.told("x.test", "/tea/post?x=1", method="POST", data=b"z" * 200_000)
    assert (found["size"], found["method"], found["path"]) == (200_000, "POST", "/tea/post?x=1")


async def test_d2_no_path_leads_past_the_weights(served: Gateway, backends: dict[str, Backend]) -> None:
    """D2: whatever a client guesses of clusters and upstreams is an unknown path."""
    await served.serve(tea({"wuhan": 100, "zhuhai": 0}, backends))
    for guess in ("/wuhan-tea", "/zhuhai-tea", "/apps-tea-80", "/.gw/zhuhai", "/@split", "/split/zhuhai"):
        assert await served.backend_of("x.test", guess) == 404
    assert await many(served, 40) == {"a": 40}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"wuhan": 0, "zhuhai": 1}, {"b"}),  # D3: 0 % is an error of nginx
        ({"wuhan": 9999, "zhuhai": 1}, {"a"}),  # D3: no more than two decimals
        ({"wuhan": 90, "zhuhai": 80, "xian": 70}, {"a", "b", "c"}),  # D4: more than 100 %
        ({"wuhan": 35, "zhuhai": 35}, {"a", "b"}),  # D5: less than 100 %
        ({"wuhan": 1, "zhuhai": 1, "xian": 1}, {"a", "b", "c"}),
    ],
)
async def test_d3_d4_d5_any_weights(
    served: Gateway, backends: dict[str, Backend], weights: dict[str, int | None], expected: set[str]
) -> None:
    """D3, D4, D5: weights are relative, nothing of them is an error of nginx, and every request has a cluster."""
    await served.serve(tea(weights, backends))
    found = await many(served, 80)
    assert set(found) <= expected
    assert len(found) > 1 or len(expected) == 1


async def test_d6_empty_clusters(served: Gateway, backends: dict[str, Backend]) -> None:
    """D6: an empty cluster's share goes to the others; when all are empty 503 says when to come again."""
    paths = [policy("p", path("x.test/tea", backend({"wuhan": 80, "zhuhai": 20})))]
    await served.serve(members(paths, {"wuhan": None, "zhuhai": backends["b"].port}))
    assert await many(served, 40) == {"b": 40}
    await served.serve(members(paths, {"wuhan": None, "zhuhai": None}))
    answer = await served.get("x.test", "/tea")
    assert (answer.status, answer.headers.get("Retry-After")) == (503, "5")
    await served.serve(tea({"wuhan": 0, "zhuhai": 0}, backends))
    assert (await served.get("x.test", "/tea")).status == 503


async def test_on_empty_fail(served: Gateway, backends: dict[str, Backend]) -> None:
    """With Fail the empty cluster's share is answered with 503."""
    paths = [policy("p", path("x.test/tea", backend({"wuhan": 50, "zhuhai": 50}, fail_on_empty=True)))]
    await served.serve(members(paths, {"wuhan": backends["a"].port, "zhuhai": None}))
    found = await many(served, 200)
    assert set(found) == {"a", "503"}
    assert 60 < found["503"] < 140
    for _ in range(30):
        answer = await served.get("x.test", "/tea")
        assert (answer.status == 503) == (answer.headers.get("Retry-After") == "5")


async def test_a_path_without_a_backend(served: Gateway, backends: dict[str, Backend]) -> None:
    """It answers 503 and doesn't fall through to another path."""
    everything = path("x.test/", backend({"wuhan": 1}))
    snapshot = members([policy("p", path("x.test/tea", None), everything)], {"wuhan": backends["a"].port})
    await served.serve(snapshot)
    assert await served.backend_of("x.test", "/tea") == 503
    assert await served.backend_of("x.test", "/teapot") == "a"


async def test_weights_omitted_follow_ready_endpoints(served: Gateway, backends: dict[str, Backend]) -> None:
    """Without weights clusters share in proportion to ready endpoints."""
    paths = [policy("p", path("x.test/tea", backend({"wuhan": None, "zhuhai": None})))]
    ports = {"wuhan": [backends["a"].port, backends["c"].port], "zhuhai": backends["b"].port}
    await served.serve(members(paths, ports))
    found = await many(served, 320)
    assert 64 <= found["b"] <= 150, found


async def test_d7_tiers(served: Gateway, backends: dict[str, Backend]) -> None:
    """D7: the next tier stands by, takes over when the first is empty, and gives back; the nearer one comes first."""
    tiers = [
        cluster("tea", "wuhan", 1),
        cluster("tea", "xian", 1, priority=1, distance=2),
        cluster("tea", "zhuhai", 1, priority=1),
    ]
    paths = [policy("p", path("x.test/tea", backend(tiers)))]
    a, b, c = (backends[name].port for name in "abc")
    for ports, expected in (
        ({"wuhan": a, "zhuhai": b, "xian": c}, "a"),
        ({"wuhan": None, "zhuhai": b, "xian": c}, "b"),
        ({"wuhan": None, "zhuhai": None, "xian": c}, "c"),
        ({"wuhan": a, "zhuhai": None, "xian": c}, "a"),
    ):
        await served.serve(members(paths, ports))
        assert await many(served, 20) == {expected: 20}


async def test_min_ready_ratio(served: Gateway, backends: dict[str, Backend]) -> None:
    """One of 30 ready endpoints takes a thirtieth by the ratio; the next tier has the rest."""
    tiers = [cluster("tea", "wuhan", 1), cluster("tea", "zhuhai", 1, priority=1)]
    paths = [policy("p", path("x.test/tea", backend(tiers, min_ready_percent=70)))]
    await served.serve(
        members(paths, {"wuhan": backends["a"].port, "zhuhai": backends["b"].port}, totals={"wuhan": 30})
    )
    found = await many(served, 400)
    assert 0 < found["a"] < 60, found


async def test_keys(served: Gateway, backends: dict[str, Backend]) -> None:
    """A header, cookie or address decides alone; a request without the header is split by itself."""
    weights = {"wuhan": 50, "zhuhai": 50}
    for key, headers in (
        ("Header:X-User", [{"X-User": f"u{i}"} for i in range(30)]),
        ("Cookie:user", [{"Cookie": f"a=b; user=u{i}; c=d"} for i in range(30)]),
        ("Cookie:us-er", [{"Cookie": f"us-er=u{i}"} for i in range(30)]),
    ):
        await served.serve(tea(weights, backends, key=key))
        seen = [{(await served.told("x.test", "/tea", headers=one))["backend"] for _ in range(3)} for one in headers]
        assert all(len(names) == 1 for names in seen), key
        assert len(set.union(*seen)) == 2
        assert len(await many(served, 60)) == 2
    await served.serve(tea(weights, backends, key="ClientIP"))
    assert len(await many(served, 60)) == 1


async def test_sticky(served: Gateway, backends: dict[str, Backend]) -> None:
    """A cookie holds a client at its cluster whatever the weights do, and moves on when the cluster is empty."""
    ports = {"wuhan": backends["a"].port, "zhuhai": backends["b"].port}

    def snapshot(weights: dict[str, int | None], ports: dict[str, Any]) -> Snapshot:
        to = backend(weights, sticky="gateway-cluster", seconds=60)
        return members([policy("p", path("x.test/tea", to))], ports)

    await served.serve(snapshot({"wuhan": 50, "zhuhai": 50}, ports))
    while True:
        first = await served.get("x.test", "/tea/x")
        if (await first.json())["backend"] == "b":
            break
    cookie = first.headers["Set-Cookie"]
    assert {"Path=/tea", "HttpOnly", "Max-Age=60"} <= set(cookie.split("; "))
    assert "zhuhai" not in cookie
    mine = {"Cookie": f"x=y; {cookie.split(';')[0]}"}
    await served.serve(snapshot({"wuhan": 100, "zhuhai": 0}, ports))
    for _ in range(10):
        answer = await served.get("x.test", "/tea", headers=mine)
        assert ((await answer.json())["backend"], answer.headers.get("Set-Cookie")) == ("b", None)
    assert await many(served, 40) == {"a": 40}
    await served.serve(snapshot({"wuhan": 100, "zhuhai": 0}, ports | {"zhuhai": None}))
    answer = await served.get("x.test", "/tea", headers=mine)
    assert (await answer.json())["backend"] == "a"
    assert answer.headers["Set-Cookie"] != cookie


async def test_d8_d9_another_cluster_takes_what_one_fails_to_take(
    served: Gateway, backends: dict[str, Backend]
) -> None:
    """D8, D9: a dead cluster costs no request: what was never sent goes elsewhere, POST too, with its body."""
    dead = [free_port() for _ in range(5)]
    paths = [policy("p", path("x.test/tea", backend({"wuhan": 90, "zhuhai": 10})))]
    await served.serve(members(paths, {"wuhan": dead, "zhuhai": backends["b"].port}))
    assert await many(served, 60) == {"b": 60}
    for _ in range(10):
        found = await served.told("x.test", "/tea/%2F?x", method="POST", data=b"y" * 70_000)
        assert (found["size"], found["path"], found["method"]) == (70_000, "/tea/%2F?x", "POST")


async def test_what_was_sent_is_not_repeated(served: Gateway, backends: dict[str, Backend]) -> None:
    """A POST that a cluster broke off in the middle is an error, a GET goes on elsewhere."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        paths = [policy("p", path("x.test/tea", backend({"wuhan": 1, "zhuhai": 0})))]
        await served.serve(members(paths, {"wuhan": port, "zhuhai": backends["b"].port}))
        assert await served.backend_of("x.test", "/tea") == "b"
        assert (await served.get("x.test", "/tea", method="POST", data=b"x")).status == 502


async def test_d10_d11_changes_without_a_reload(served: Gateway, backends: dict[str, Backend]) -> None:
    """D10, D11: the dynamic renderer takes weights and endpoints with no reload; a kept connection stays."""
    await served.serve(tea({"wuhan": 1, "zhuhai": 0}, backends))
    before = served.reloads
    async with aiohttp.ClientSession() as session:
        url, headers = f"http://127.0.0.1:{served.http}/tea", {"Host": "x.test"}
        for weights, expected in (({"wuhan": 0, "zhuhai": 1}, "b"), ({"wuhan": 1, "zhuhai": 0}, "a")) * 3:
            await served.serve(tea(weights, backends))
            async with session.get(url, headers=headers) as answer:
                assert (await answer.json())["backend"] == expected
    assert served.renderer == "static" or served.reloads == before


async def test_path_types(served: Gateway, backends: dict[str, Backend]) -> None:
    """Exact, by element, plain prefix and default: exact ones first, then the longest, whole elements before plain."""
    a, b, c = (backends[name].port for name in "abc")
    to = {name: backend({name: 1}) for name in CLUSTERS}
    paths = [
        path("x.test/tea", to["wuhan"], "ImplementationSpecific"),
        path("x.test/coffee", to["wuhan"]),
        path("x.test/coffee/new", to["zhuhai"], "Exact"),
        path("X.Test/tea/green", to["zhuhai"]),
        path("*.test/", to["zhuhai"]),
        path("", to["xian"], "Default"),
    ]
    await served.serve(members([policy("p", *paths)], {"wuhan": a, "zhuhai": b, "xian": c}))
    expected = {
        ("x.test", "/tea"): "a",
        ("x.test", "/teapot"): "a",
        ("x.test", "/Tea"): "c",
        ("x.test", "/tea/green"): "b",
        ("x.test", "/tea/greens"): "a",
        ("x.test", "/coffee/new"): "b",
        ("x.test", "/coffee/new/x"): "a",
        ("x.test", "/coffees"): "c",
        ("y.test", "/"): "b",
        ("y.x.test", "/"): "c",
        ("unknown.example", "/tea"): "c",
    }
    assert {key: await served.backend_of(*key) for key in expected} == expected
