"""Hosts where one Ingress rewrites everything and another has plain paths: what upstream's users have most often."""

from __future__ import annotations

import pytest

from tests.nginx.harness import Backend, Gateway, ports
from tests.nginx.objects import site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


async def test_a_rewritten_root_leaves_longer_paths_to_others(served: Gateway, backends: dict[str, Backend]) -> None:
    """The longer text wins whoever wrote it, plain prefixes keep their case and their elements."""
    await served.serve(
        world(
            site("x.test", {"rewrite-target": "/"}, ("/", "Prefix", "a")),
            site("x.test", {}, ("/api.v1", "Prefix", "b"), name="plain"),
            site("x.test", {"rewrite-target": "/$1"}, ("/api.v1/(x.*)", "ImplementationSpecific", "c"), name="deep"),
            services=ports(backends),
        )
    )
    expected = {
        "/": "a",
        "/other": "a",
        "/api.v1": "b",
        "/api.v1/": "b",
        "/api.v1/deep": "b",
        "/api.v1/x/y": "c",
        "/API.v1": "a",
        "/api.v1x": "a",
        "/apixv1": "a",
    }
    assert {path: await served.backend_of("x.test", path) for path in expected} == expected
    assert (await served.told("x.test", "/api.v1/deep"))["path"] == "/api.v1/deep"
    assert (await served.told("x.test", "/api.v1/x/y"))["path"] == "/x/y"
