"""Canaries: who goes to the alternative, by header, cookie and weight."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.nginx.harness import Backend, Gateway, ports
from tests.nginx.objects import site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


def canary(service: str, host: str = "x.test", **notes: str) -> dict[str, object]:
    """A canary of a host's `/`; `_` in a note's name stands for `-`."""
    found = {"canary": "true"} | {key.replace("_", "-"): value for key, value in notes.items()}
    made: dict[str, object] = site(host, found, ("/", "Prefix", service), name=f"canary-{service}-{host}")
    return made


async def counted(served: Gateway, number: int, **kwargs: object) -> Counter[str]:
    """How often each backend answers."""
    return Counter([(await served.told("x.test", **kwargs))["backend"] for _ in range(number)])


async def test_by_header(served: Gateway, backends: dict[str, Backend]) -> None:
    """`always` and `never` decide, other values don't; a given value or pattern replaces those words."""
    await served.serve(
        world(
            site("x.test"),
            canary("b", canary_by_header="X-Canary"),
            site("y.test"),
            canary("b", "y.test", canary_by_header="X-Canary", canary_by_header_value='v"1'.replace('"', "-")),
            site("z.test"),
            canary("b", "z.test", canary_by_header="X-Canary", canary_by_header_pattern="^v(ip|[0-9]+)$"),
            services=ports(backends),
        )
    )
    expected = {
        ("x.test", "always"): "b",
        ("x.test", "never"): "a",
        ("x.test", "other"): "a",
        ("y.test", "v-1"): "b",
        ("y.test", "always"): "a",
        ("y.test", "v-12"): "a",
        ("z.test", "vip"): "b",
        ("z.test", "v12"): "b",
        ("z.test", "always"): "a",
    }
    found = {
        (host, value): (await served.told(host, headers={"X-Canary": value}))["backend"] for host, value in expected
    }
    assert found == expected
    assert (await served.told("x.test"))["backend"] == "a"


async def test_header_before_cookie_before_weight(served: Gateway, backends: dict[str, Backend]) -> None:
    """The first that says something decides."""
    await served.serve(
        world(
            site("x.test"),
            canary("b", canary_by_header="X-Canary", canary_by_cookie="can-ary", canary_weight="100"),
            services=ports(backends),
        )
    )

    async def backend(header: str = "", cookie: str = "") -> str:
        headers = ({"X-Canary": header} if header else {}) | ({"Cookie": f"z=1; {cookie}"} if cookie else {})
        return str((await served.told("x.test", headers=headers))["backend"])

    assert await backend() == "b"
    assert await backend("never") == "a"
    assert await backend("never", "can-ary=always") == "a"
    assert await backend("always", "can-ary=never") == "b"
    assert await backend("neither", "can-ary=never") == "a"
    assert await backend("", "can-ary=never; y=2") == "a"
    assert await backend("", "notcan-ary=never") == "b"


async def test_by_weight(served: Gateway, backends: dict[str, Backend]) -> None:
    """Requests spread as the weights say; nobody goes to a weight of nothing, everybody to the whole."""
    await served.serve(world(site("x.test"), canary("b", canary_weight="30"), services=ports(backends)))
    found = await counted(served, 200)
    assert 30 <= found["b"] <= 90
    assert found["a"] + found["b"] == 200
    await served.serve(world(site("x.test"), canary("b", canary_weight="0"), services=ports(backends)))
    assert await counted(served, 10) == {"a": 10}
    whole = canary("b", canary_weight="1000", canary_weight_total="1000")
    await served.serve(world(site("x.test"), whole, services=ports(backends)))
    assert await counted(served, 10) == {"b": 10}


async def test_several_canaries(served: Gateway, backends: dict[str, Backend]) -> None:
    """More than one alternative: each takes its weight, a header leads to the one that names it."""
    await served.serve(
        world(
            site("x.test"),
            canary("b", canary_weight="30", canary_by_header="X-B"),
            canary("c", canary_weight="30", canary_by_header="X-C"),
            services=ports(backends),
        )
    )
    found = await counted(served, 200)
    assert all(found[name] >= 25 for name in "abc")
    assert await counted(served, 5, headers={"X-C": "always"}) == {"c": 5}
    assert await counted(served, 5, headers={"X-B": "always"}) == {"b": 5}


async def test_a_canary_is_only_for_its_host_and_path(served: Gateway, backends: dict[str, Backend]) -> None:
    """Other hosts and paths don't see it, and one without endpoints takes nothing."""
    await served.serve(
        world(
            site("x.test", {}, ("/", "Prefix", "a"), ("/p", "Prefix", "a")),
            canary("b", canary_weight="100"),
            site("y.test"),
            site("z.test"),
            canary("gone", "z.test", canary_weight="100"),
            services=ports(backends) | {"gone": None},
        )
    )
    assert await served.backend_of("x.test") == "b"
    assert await served.backend_of("x.test", "/p") == "a"
    assert await served.backend_of("y.test") == "a"
    assert await served.backend_of("z.test") == "a"


async def test_log_names_the_alternative(served: Gateway, backends: dict[str, Backend]) -> None:
    """The access log has the main backend and the canary that answered."""
    config = {"log-format-upstream": "up=$proxy_upstream_name alt=$proxy_alternative_upstream_name uri=$request_uri"}
    await served.serve(world(site("x.test"), canary("b", canary_weight="100"), services=ports(backends), config=config))
    await served.told("x.test", f"/log-{served.renderer}")
    await served.logged(f"up=apps-a-80 alt=apps-b-80 uri=/log-{served.renderer}")
