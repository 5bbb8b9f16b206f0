"""Annotations about which endpoint gets a request."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.nginx.harness import Backend, Gateway, ports, renderer_of
from tests.nginx.objects import site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")
ALL = ("/", "Prefix", "all")
COOKIE = {"affinity": "cookie", "session-cookie-name": "route"}


def services(backends: dict[str, Backend]) -> dict[str, Any]:
    """Each backend by its name, and all together."""
    found: dict[str, Any] = {**ports(backends), "all": [backend.port for backend in backends.values()]}
    return found


async def test_algorithms_use_all_endpoints(served: Gateway, backends: dict[str, Backend]) -> None:
    """Whatever the algorithm, every endpoint is used, and has its share where speed doesn't count."""
    names = ("round_robin", "least_conn", "ewma")
    sites = [site(f"{name.replace('_', '-')}.test", {"load-balance": name}, ALL) for name in names]
    await served.serve(world(*sites, services=services(backends)))
    for item in sites:
        host = item["metadata"]["name"]
        found = Counter([await served.backend_of(host) for _ in range(60)])
        assert set(found) == {"a", "b", "c"}
        if host != "ewma.test":  # which rightly avoids an endpoint that a busy machine held up once
            assert min(found.values()) >= 5


async def test_hash(served: Gateway, backends: dict[str, Backend]) -> None:
    """One value, one endpoint; other values spread."""
    await served.serve(
        world(
            site("uri.test", {"upstream-hash-by": "$request_uri"}, ALL),
            site("head.test", {"upstream-hash-by": "${http_x_key}-$arg_k"}, ALL),
            services=services(backends),
        )
    )
    by_path = [{await served.backend_of("uri.test", f"/{n}") for _ in range(4)} for n in range(20)]
    assert all(len(found) == 1 for found in by_path)
    assert {name for found in by_path for name in found} == {"a", "b", "c"}
    found = {(await served.told("head.test", f"/{n}?k=1", headers={"X-Key": "k"}))["backend"] for n in range(10)}
    assert len(found) == 1


async def test_cookies_bind_clients(served: Gateway, backends: dict[str, Backend]) -> None:
    """The first answer sets a cookie, and with it the same endpoint answers; no cookie is set again."""
    await served.serve(world(site("x.test", COOKIE, ("/p", "Prefix", "all")), services=services(backends)))
    spread = set()
    for _ in range(40):  # one in three each: that one of them never comes up happens once in four million runs
        answer = await served.get("x.test", "/p/q")
        cookie = answer.cookies["route"]
        assert (cookie["path"], cookie["httponly"], cookie["secure"]) == ("/p", True, "")
        first = (await answer.json())["backend"]
        headers = {"Cookie": f"other=1; route={cookie.value}"}
        again = [await served.get("x.test", "/p", headers=headers) for _ in range(3)]
        assert {(await item.json())["backend"] for item in again} == {first}
        assert not any("Set-Cookie" in item.headers for item in again)
        spread.add(first)
    assert spread == {"a", "b", "c"}


async def test_cookie_attributes(served: Gateway, backends: dict[str, Backend]) -> None:
    """Path, domain, ages, SameSite and Secure as asked for; SameSite=None not for clients that misread it."""
    notes = COOKIE | {
        "session-cookie-path": "/here",
        "session-cookie-domain": "x.test",
        "session-cookie-max-age": "3600",
        "session-cookie-samesite": "None",
        "session-cookie-conditional-samesite-none": "true",
        "session-cookie-secure": "true",
    }
    await served.serve(
        world(
            site("x.test", notes, ALL),
            site("y.test", {"affinity": "cookie", "session-cookie-samesite": "Lax"}, ALL),
            site("old.test", COOKIE | {"session-cookie-expires": "60", "session-cookie-max-age": "60"}, ALL),
            services=services(backends),
        )
    )
    cookie = (await served.get("x.test")).cookies["route"]
    assert (cookie["path"], cookie["domain"], cookie["max-age"]) == ("/here", "x.test", "3600")
    assert (cookie["samesite"], cookie["secure"]) == ("None", True)
    old = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 12_1 like Mac OS X)"}
    assert (await served.get("x.test", headers=old)).cookies["route"]["samesite"] == ""
    cookie = (await served.get("y.test")).cookies["INGRESSCOOKIE"]
    assert (cookie["samesite"], cookie["path"]) == ("Lax", "/")
    assert (await served.get_tls("y.test")).cookies["INGRESSCOOKIE"]["secure"] is True
    assert (await served.get("old.test")).cookies["route"]["max-age"] == "60"


async def test_a_bound_client_survives_its_endpoint(served: Gateway, backends: dict[str, Backend]) -> None:
    """When the endpoint is gone the client is served by another one."""
    await served.serve(world(site("x.test", COOKIE, ALL), services=services(backends)))
    answer = await served.get("x.test")
    bound = (await answer.json())["backend"]
    headers = {"Cookie": f"route={answer.cookies['route'].value}"}
    left = [backend.port for name, backend in backends.items() if name != bound]
    await served.serve(world(site("x.test", COOKIE, ALL), services={"all": left}))
    assert (await served.told("x.test", headers=headers))["backend"] != bound


async def test_canaries_keep_clients(served: Gateway, backends: dict[str, Backend]) -> None:
    """With a cookie, a client stays on the side of the canary that it got first."""
    await served.serve(
        world(
            site("x.test", COOKIE, ("/", "Prefix", "a")),
            site("x.test", {"canary": "true", "canary-weight": "50"}, ("/", "Prefix", "b"), name="canary"),
            services=services(backends),
        )
    )
    sides = set()
    for _ in range(20):
        answer = await served.get("x.test")
        side = (await answer.json())["backend"]
        headers = {"Cookie": f"route={answer.cookies['route'].value}"}
        assert {(await served.told("x.test", headers=headers))["backend"] for _ in range(4)} == {side}
        sides.add(side)
    assert sides == {"a", "b"}


async def test_canaries_that_ignore_cookies(served: Gateway, backends: dict[str, Backend]) -> None:
    """With `legacy`, the weights decide about every request of a bound client."""
    notes = COOKIE | {"affinity-canary-behavior": "legacy"}
    await served.serve(
        world(
            site("x.test", notes, ("/", "Prefix", "a")),
            site("x.test", {"canary": "true", "canary-weight": "50"}, ("/", "Prefix", "b"), name="canary"),
            services=services(backends),
        )
    )
    headers = {"Cookie": "route=0123456789abcdef"}
    assert {(await served.told("x.test", headers=headers))["backend"] for _ in range(40)} == {"a", "b"}


async def test_the_services_own_address(served: Gateway, backends: dict[str, Backend]) -> None:
    """service-upstream sends requests to the Service's address, whatever its endpoints."""
    port = backends["b"].port
    snapshot = world(site("x.test", {"service-upstream": "true"}), services={"a": backends["a"].port})
    snapshot.services[("apps", "a")]["spec"] = {
        "clusterIP": "127.0.0.1",
        "ports": [{"name": "http", "port": port}],
    }
    snapshot.ingresses[0]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = {"name": "http"}
    await served.serve(snapshot)
    assert await served.backend_of("x.test") == "b"


async def test_failing_endpoints_rest(served: Gateway, backends: dict[str, Backend]) -> None:
    """Our max-fails and fail-timeout: each worker meets a failing endpoint once, and leaves it alone for a while."""
    rest = {"gateway.kubesphere.io/max-fails": "1", "gateway.kubesphere.io/fail-timeout": "60"}
    next_one = {"proxy-next-upstream": "http_500"}
    backends["b"].status = 500
    for notes, low, high in ((next_one, 8, 30), (next_one | rest, 1, 2)):
        await served.serve(world(site("x.test", notes, ALL), services=services(backends)))
        backends["b"].seen.clear()
        assert {await served.backend_of("x.test") for _ in range(30)} == {"a", "c"}
        assert low <= len(backends["b"].seen) <= high


async def test_what_static_cannot_do_is_told(served: Gateway, backends: dict[str, Backend]) -> None:
    """Features that need a running balancer are named with what holds instead; dynamic has them all."""
    ours = "gateway.kubesphere.io/"
    notes = {
        "ewma.test": {"load-balance": "ewma"},
        "slow.test": {ours + "slow-start": "10"},
        "health.test": {
            ours + "health-check-path": "/healthz",
            ours + "health-check-host": "h.test",
            ours + "health-check-interval": "2",
        },
        "stay.test": COOKIE | {"affinity-mode": "persistent"},
        "fail.test": COOKIE | {"session-cookie-change-on-failure": "true"},
    }
    snapshot = world(*(site(host, item, ALL) for host, item in notes.items()), services=services(backends))
    _, compiled = served.compile(snapshot)
    told = renderer_of(served.renderer).unsupported(compiled.plan)
    found = {compiled.index[owner]["ingress"] for owner, _ in told}
    assert found == (set(notes) if served.renderer == "static" else set())
    await served.serve(snapshot)
    for host in notes:
        assert await served.backend_of(host) in {"a", "b", "c"}
