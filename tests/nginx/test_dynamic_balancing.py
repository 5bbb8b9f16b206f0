"""How the dynamic renderer's balancer spreads requests over endpoints, and leaves the bad ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiohttp import web

from gateway_operator.ingress.policies import Affinity, Balancing, Canary, HealthCheck
from tests.nginx.dynamic_harness import Nginx, route, server, settings, upstream
from tests.nginx.harness import Backend, eventually, free_port

Backends = dict[str, Backend]


async def serve(nginx: Nginx, *targets: Backend | int, weights: Any = (), **balancing: Any) -> None:
    found = upstream("00ff", *targets, balancing=Balancing(**balancing), weights=weights)
    await nginx.serve(found, server("x.test", route("/", "00ff")))


async def spread(nginx: Nginx, count: int, **kwargs: Any) -> Counter[str | int]:
    return Counter([await nginx.backend_of("x.test", **kwargs) for _ in range(count)])


async def test_turns_and_weights(nginx: Nginx, backends: Backends) -> None:
    """Endpoints take turns; unequal weights give unequal shares, exactly."""
    await serve(nginx, *backends.values())
    assert await spread(nginx, 30) == {"a": 10, "b": 10, "c": 10}
    await serve(nginx, *backends.values(), weights=(3, 2, 1))
    assert await spread(nginx, 30) == {"a": 15, "b": 10, "c": 5}


@pytest.mark.parametrize("algorithm", ["round_robin", "least_conn", "ewma", "hash"])
async def test_dead_endpoints_cost_nothing(nginx: Nginx, backends: Backends, algorithm: str) -> None:
    """Whatever the algorithm, another endpoint answers for one that refuses connections."""
    keyed = {"hash_by": "${arg_k}"} if algorithm == "hash" else {}
    await serve(nginx, free_port(), *backends.values(), free_port(), algorithm=algorithm, max_fails=1, **keyed)
    found = Counter([await nginx.backend_of("x.test", f"/?k={number}") for number in range(60)])
    assert set(found) == {"a", "b", "c"}


async def test_never_sent_twice(nginx: Nginx, unused_tcp_port_factory: Any) -> None:
    """What isn't idempotent goes to one endpoint only, once it was sent."""
    received = []

    async def drop(request: web.Request) -> web.Response:
        received.append(request.method)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/", drop)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    ports = [unused_tcp_port_factory(), unused_tcp_port_factory()]
    for port in ports:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    await serve(nginx, *ports)
    assert (await nginx.get("x.test", method="POST", data=b"x")).status == 502
    assert received == ["POST"]
    assert (await nginx.get("x.test")).status == 502
    assert received == ["POST", "GET", "GET"]
    await runner.cleanup()


async def test_tries_are_limited(nginx: Nginx) -> None:
    """No more endpoints are tried than the setting allows."""
    dead = [free_port() for _ in range(5)]
    await nginx.serve(
        upstream("00ff", *dead),
        server("x.test", route("/", "00ff")),
        settings=settings(proxy_next_upstream_tries="2", log_format_upstream="tried $upstream_addr"),
    )
    assert (await nginx.get("x.test")).status == 502
    await eventually(lambda: _logged(nginx, "tried "))
    assert nginx.log().split("tried ")[1].split("\n")[0].count(",") == 1


async def _logged(nginx: Nginx, text: str) -> bool:
    return text in nginx.log()


async def test_hash(nginx: Nginx, backends: Backends) -> None:
    """A key stays where it is; when an endpoint goes, only its own keys move."""
    await serve(nginx, *backends.values(), algorithm="hash", hash_by="${arg_k}-${host}")
    before = {key: await nginx.backend_of("x.test", f"/?k={key}") for key in range(40)}
    assert set(before.values()) == {"a", "b", "c"}
    assert before == {key: await nginx.backend_of("x.test", f"/?k={key}") for key in range(40)}
    await serve(nginx, backends["a"], backends["b"], algorithm="hash", hash_by="${arg_k}-${host}")
    after = {key: await nginx.backend_of("x.test", f"/?k={key}") for key in range(40)}
    assert all(after[key] == name for key, name in before.items() if name != "c")


async def test_cookie(nginx: Nginx, backends: Backends) -> None:
    """A cookie binds a client, tells no address, and is set once."""
    affinity = Affinity("SID", max_age=60, expires=60, samesite="Lax", path="/p", domain="x.test", secure=True)
    await serve(nginx, *backends.values(), affinity=affinity)
    first = await nginx.get("x.test")
    cookie = first.headers["Set-Cookie"]
    value, *attributes = cookie.split("; ")
    assert {"Path=/p", "Domain=x.test", "Max-Age=60", "Secure", "HttpOnly", "SameSite=Lax"} < set(attributes)
    assert "127" not in value.partition("=")[2].partition(".")[0] or len(value) > 20
    name = (await first.json())["backend"]
    again = await nginx.get("x.test", headers={"Cookie": value})
    assert "Set-Cookie" not in again.headers
    assert await spread(nginx, 10, headers={"Cookie": value}) == {name: 10}
    assert len(await spread(nginx, 40)) == 3


@pytest.mark.parametrize("persistent", [False, True])
async def test_bound_clients_when_endpoints_change(nginx: Nginx, backends: Backends, persistent: bool) -> None:  # noqa: FBT001
    """Persistent clients stay when endpoints are added; all of them go elsewhere when theirs goes."""
    a, b, c = backends.values()
    affinity = Affinity("SID", persistent=persistent)
    await serve(nginx, a, affinity=affinity)
    cookies = [(await nginx.get("x.test")).headers["Set-Cookie"].split(";")[0] for _ in range(30)]
    await serve(nginx, a, b, c, affinity=affinity)
    found = Counter([await nginx.backend_of("x.test", headers={"Cookie": cookie}) for cookie in cookies])
    assert (set(found) == {"a"}) is persistent
    await serve(nginx, b, affinity=affinity)
    assert await spread(nginx, 5, headers={"Cookie": cookies[0]}) == {"b": 5}


@pytest.mark.parametrize("change", [False, True])
async def test_bound_to_a_dead_endpoint(nginx: Nginx, backends: Backends, change: bool) -> None:  # noqa: FBT001
    """A client whose endpoint fails is served by another; it gets a new cookie only where that is wanted."""
    a, b, dead = backends["a"], backends["b"], free_port()
    affinity = Affinity("SID", change_on_failure=change)
    await serve(nginx, a, b, dead, affinity=affinity)
    answers = [await nginx.get("x.test") for _ in range(30)]
    assert {answer.status for answer in answers} == {200}
    cookies = {answer.headers["Set-Cookie"].split(";")[0] for answer in answers}
    renewed = [await nginx.get("x.test", headers={"Cookie": cookie}) for cookie in cookies]
    assert {answer.status for answer in renewed} == {200}
    fresh = [answer.headers["Set-Cookie"].split(";")[0] for answer in renewed if "Set-Cookie" in answer.headers]
    if not change:
        assert not fresh
    for cookie in fresh:
        assert "Set-Cookie" not in (await nginx.get("x.test", headers={"Cookie": cookie})).headers


async def test_canary_keeps_bound_clients(nginx: Nginx, backends: Backends) -> None:
    """A client that was on a side of a canary comes back to it."""
    affinity = Balancing(affinity=Affinity("SID"))
    split = route("/", "00aa")
    split = route("/", "00aa", settings=type(split.settings)(canaries=(Canary("00bb", weight=50),)))
    await nginx.serve(
        upstream("00aa", backends["a"], balancing=affinity),
        upstream("00bb", backends["b"], balancing=affinity),
        server("x.test", split),
    )
    for _ in range(12):
        first = await nginx.get("x.test")
        cookie, name = first.headers["Set-Cookie"].split(";")[0], (await first.json())["backend"]
        assert await spread(nginx, 4, headers={"Cookie": cookie}) == {name: 4}


async def test_passive_failures(nginx: Nginx, backends: Backends) -> None:
    """An endpoint that failed often enough rests: nobody tries it, until its time is over."""
    dead = free_port()
    balancing = Balancing(max_fails=2, fail_timeout=600)
    await nginx.serve(
        upstream("00ff", backends["a"], dead, balancing=balancing),
        server("x.test", route("/", "00ff")),
        settings=settings(log_format_upstream="tried $upstream_addr"),
    )
    assert await spread(nginx, 20) == {"a": 20}
    await eventually(lambda: _count(nginx, 20))
    tried = [line for line in nginx.log().split("\n") if f":{dead}" in line and line.startswith("tried")]
    assert len(tried) == 2


async def _count(nginx: Nginx, lines: int) -> bool:
    return bool(nginx.log().count("tried ") >= lines)


async def test_active_checks(nginx: Nginx, backends: Backends) -> None:
    """An endpoint whose probe fails gets no requests; when it is well again it does; all down means use all."""
    well = {"status": 500}

    async def answer(request: web.Request) -> web.Response:
        del request
        return web.json_response({"backend": "probed"}, status=well["status"])

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    check = HealthCheck("/well", interval=0.1, fails=1, passes=1)
    await serve(nginx, backends["a"], port, health_check=check)

    async def has(*names: str | int) -> bool:
        return set(await spread(nginx, 8)) == set(names)

    await eventually(lambda: has("a"))
    well["status"] = 200
    await eventually(lambda: has("a", "probed"))
    await serve(nginx, free_port(), free_port(), health_check=check)
    await asyncio.sleep(0)
    assert await nginx.backend_of("x.test") == 502
    await runner.cleanup()


async def _answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Promise to go on, and don't."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()


async def test_connections_of_checks(nginx: Nginx, backends: Backends) -> None:
    """A check's connection is kept for the next one; an endpoint that drops it is well all the same."""
    asked, connections = [], set()

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        connections.add(request.transport)
        return web.Response(text="well" * (5000 if request.query_string == "long" else 1))

    app = web.Application()
    app.router.add_get("/well", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    dropping = await asyncio.start_server(_answer_once, "127.0.0.1", 0)
    check = HealthCheck("/well", interval=0.1, timeout=30)  # a busy machine's late answer isn't what is asked here
    await serve(nginx, backends["a"], port, dropping.sockets[0].getsockname()[1], health_check=check)

    async def count(checks: int) -> bool:
        return len(asked) >= checks

    await eventually(lambda: count(4))
    assert len(connections) == 1
    await serve(nginx, backends["a"], port, health_check=HealthCheck("/well?long", interval=0.1, timeout=30))
    connections.clear()
    asked.clear()
    await eventually(lambda: count(4))
    assert len(connections) >= 3, "what isn't read to its end can't be kept"
    assert "called down" not in nginx.log()
    dropping.close()
    await runner.cleanup()


async def test_slow_start(nginx: Nginx, backends: Backends) -> None:
    """A new endpoint gets a small share at first."""
    await serve(nginx, backends["a"], slow_start=1000)
    assert await spread(nginx, 5) == {"a": 5}
    await serve(nginx, backends["a"], backends["b"], slow_start=1000)
    found = await spread(nginx, 40)
    assert found["b"] <= 3
