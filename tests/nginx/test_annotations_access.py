"""Annotations about who may ask: passwords, addresses, rates, CORS."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import aiohttp
import pytest

from tests.nginx.harness import Backend, Gateway, basic, eventually, ports
from tests.nginx.objects import opaque, site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")
USERS = "ann:{PLAIN}secret\nbob:$apr1$Fb8BqGbU$x6gRUZ1RQNBqTGXO8ZZd91\n"
BASIC = {"auth-type": "basic", "auth-secret": "users"}


async def statuses(served: Gateway, host: str, number: int, **kwargs: object) -> Counter[int]:
    """How often each status is answered."""
    return Counter([(await served.get(host, **kwargs)).status for _ in range(number)])


async def test_basic_auth(served: Gateway, backends: dict[str, Backend]) -> None:
    """The right password only; the backend doesn't get it; a map of users works, a missing Secret shuts the path."""
    await served.serve(
        world(
            site("x.test", BASIC | {"auth-realm": "My realm"}),
            site("map.test", BASIC | {"auth-secret": "map", "auth-secret-type": "auth-map"}),
            site("gone.test", BASIC | {"auth-secret": "gone"}),
            services=ports(backends),
            secrets=[opaque("users", auth=USERS), opaque("map", ann="{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=")],
        )
    )
    refused = await served.get("x.test")
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Basic realm="My realm"')
    assert (await served.get("x.test", headers=basic("ann", "wrong"))).status == 401
    told = await served.told("x.test", headers=basic("ann", "secret"))
    assert "Authorization" not in told["headers"]
    assert (await served.get("map.test", headers=basic("ann", "secret"))).status == 200
    assert (await served.get("map.test", headers=basic("bob", "secret"))).status == 401
    assert (await served.get("gone.test", headers=basic("ann", "secret"))).status == 503


async def test_source_ranges(served: Gateway, backends: dict[str, Backend]) -> None:
    """Only the networks that are allowed, none that is denied, and denials go first."""
    await served.serve(
        world(
            site("in.test", {"whitelist-source-range": "10.0.0.0/8,127.0.0.0/8"}),
            site("out.test", {"allowlist-source-range": "10.0.0.0/8"}),
            site("denied.test", {"denylist-source-range": "127.0.0.1"}),
            site("both.test", {"denylist-source-range": "127.0.0.1/32", "allowlist-source-range": "127.0.0.0/8"}),
            site("wrong.test", {"allowlist-source-range": "everybody"}),
            services=ports(backends),
        )
    )
    hosts = {"in.test": "a", "out.test": 403, "denied.test": 403, "both.test": 403, "wrong.test": 503}
    assert {host: await served.backend_of(host) for host in hosts} == hosts


async def test_the_address_is_the_forwarded_one(served: Gateway, backends: dict[str, Backend]) -> None:
    """Behind a trusted proxy the ranges are about the client."""
    config = {"use-forwarded-headers": "true"}
    await served.serve(
        world(site("x.test", {"allowlist-source-range": "10.1.0.0/16"}), services=ports(backends), config=config)
    )
    assert (await served.get("x.test", headers={"X-Forwarded-For": "10.1.2.3"})).status == 200
    assert (await served.get("x.test", headers={"X-Forwarded-For": "10.2.2.3"})).status == 403


async def test_satisfy(served: Gateway, backends: dict[str, Backend]) -> None:
    """With `any`, the address or the password is enough; otherwise both are needed."""
    outside, inside = {"allowlist-source-range": "10.0.0.0/8"}, {"allowlist-source-range": "127.0.0.0/8"}
    await served.serve(
        world(
            site("any-in.test", BASIC | inside | {"satisfy": "any"}),
            site("any-out.test", BASIC | outside | {"satisfy": "any"}),
            site("all.test", BASIC | outside | {"satisfy": "all"}),
            services=ports(backends),
            secrets=[opaque("users", auth=USERS)],
        )
    )
    ann = basic("ann", "secret")
    assert (await served.get("any-in.test")).status == 200
    assert (await served.get("any-out.test")).status == 401
    assert (await served.get("any-out.test", headers=ann)).status == 200
    assert (await served.get("all.test", headers=ann)).status == 403


async def test_request_rates(served: Gateway, backends: dict[str, Backend]) -> None:
    """Beyond rate and burst requests are refused, each Ingress has its own count, and some networks have none."""
    rate = {"limit-rpm": "2", "limit-burst-multiplier": "3"}
    await served.serve(
        world(
            site("rpm.test", rate),
            site("other.test", rate),
            site("rps.test", {"limit-rps": "1", "limit-burst-multiplier": "2"}),
            site("free.test", rate | {"limit-whitelist": "127.0.0.0/8"}),
            site("open.test", rate | {"limit-allowlist": "127.0.0.1"}),
            services=ports(backends),
            config={"limit-req-status-code": "429"},
        )
    )
    assert await statuses(served, "rpm.test", 12) == {200: 7, 429: 5}
    assert await statuses(served, "other.test", 7) == {200: 7}
    answers = await asyncio.gather(*(served.get("rps.test") for _ in range(24)))
    found = Counter(answer.status for answer in answers)
    assert found[429] >= 5
    assert found[200] >= 3
    assert await statuses(served, "free.test", 12) == {200: 12}
    assert await statuses(served, "open.test", 12) == {200: 12}


async def test_rates_of_answers(served: Gateway, backends: dict[str, Backend]) -> None:
    """limit-rate slows an Ingress's large answers after their first part, and 0 lifts the gateway's own rate."""
    rate = {"limit-rate": "20", "limit-rate-after": "4"}
    await served.serve(
        world(
            site("slow.test", rate),
            site("free.test", {"limit-rate": "0"}),
            services=ports(backends),
            config={"proxy-buffering": "on", "limit-rate": "1"},
        )
    )
    began = time.monotonic()
    await served.told("slow.test", "/?pad=50000")
    assert time.monotonic() - began > 1
    async with asyncio.timeout(60):  # at the gateway's rate it would take 100 s
        await served.told("free.test", "/?pad=100000")


async def test_connections(served: Gateway, backends: dict[str, Backend]) -> None:
    """No more requests at once than allowed; a finished one makes room."""
    config = {"limit-conn-status-code": "430"}
    await served.serve(world(site("x.test", {"limit-connections": "2"}), services=ports(backends), config=config))
    held = [asyncio.create_task(served.get("x.test", "/?hold")) for _ in range(2)]
    await eventually(lambda: asyncio.sleep(0, len(backends["a"].seen) == 2))
    assert await statuses(served, "x.test", 3) == {430: 3}
    backends["a"].let_go.set()
    assert {(await task).status for task in held} == {200}

    async def room() -> bool:  # made after the answer, and seen by the other worker a moment later
        return (await served.get("x.test")).status == 200

    await eventually(room)


def cors(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """What an answer says to other origins."""
    prefix = "Access-Control-"
    return {key.removeprefix(prefix): value for key, value in answer.headers.items() if key.startswith(prefix)}


async def test_cors_for_everybody(served: Gateway, backends: dict[str, Backend]) -> None:
    """The defaults: every origin, preflight answered here, the backend's own headers replaced."""
    await served.serve(world(site("x.test", {"enable-cors": "true"}), services=ports(backends)))
    headers = {"Origin": "https://o.test"}
    answer = await served.get("x.test", "/?h.Access-Control-Allow-Origin=https://mine.test", headers=headers)
    assert answer.headers.getall("Access-Control-Allow-Origin") == ["*"]
    said = cors(answer)
    assert said["Allow-Credentials"] == "true"
    assert "PATCH" in said["Allow-Methods"]
    assert "Authorization" in said["Allow-Headers"]
    before = len(backends["a"].seen)
    answer = await served.get("x.test", method="OPTIONS", headers=headers)
    assert (answer.status, cors(answer)["Max-Age"]) == (204, "1728000")
    assert len(backends["a"].seen) == before
    assert cors(await served.get("x.test", "/?status=404", headers=headers))["Allow-Origin"] == "*"


async def test_cors_for_some(served: Gateway, backends: dict[str, Backend]) -> None:
    """Listed origins, one label wild, any port; everybody else gets nothing and reaches the backend."""
    notes = {
        "enable-cors": "true",
        "cors-allow-origin": "https://one.test, https://*.two.test:*, http://three.test:8080",
        "cors-allow-methods": "GET, PUT",
        "cors-allow-headers": "X-One",
        "cors-expose-headers": "X-Two",
        "cors-allow-credentials": "false",
        "cors-max-age": "60",
    }
    await served.serve(world(site("x.test", notes), services=ports(backends)))
    allowed = ["https://one.test", "https://a.two.test", "https://a.two.test:99", "http://three.test:8080"]
    for origin in allowed:
        answer = await served.get("x.test", headers={"Origin": origin})
        assert cors(answer)["Allow-Origin"] == origin
    said = cors(answer)
    assert (said["Allow-Methods"], said["Allow-Headers"], said["Expose-Headers"]) == ("GET, PUT", "X-One", "X-Two")
    assert "Allow-Credentials" not in said
    answer = await served.get("x.test", method="OPTIONS", headers={"Origin": "https://one.test"})
    assert (answer.status, cors(answer)["Max-Age"]) == (204, "60")
    for origin in ["https://two.test", "https://a.b.two.test", "https://one.test.evil.test", "http://one.test", "null"]:
        assert "Allow-Origin" not in cors(await served.get("x.test", headers={"Origin": origin}))
    told = await served.get("x.test", method="OPTIONS", headers={"Origin": "https://evil.test"})
    assert (await told.json())["method"] == "OPTIONS"
