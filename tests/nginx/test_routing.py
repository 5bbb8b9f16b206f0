"""Which backend gets a request: paths, hosts, fallbacks and conflicts, through a real nginx."""

from __future__ import annotations

import pytest

from tests.nginx.harness import Backend, Gateway, ports
from tests.nginx.objects import ingress, rule, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


async def test_paths_match_by_type_and_length(served: Gateway, backends: dict[str, Backend]) -> None:
    """Prefixes match by elements, exact paths alone, the longest wins, and exact beats prefix."""
    rules = rule(
        "x.test",
        ("/aaa", "Prefix", "a"),
        ("/aaa/bbb/", "Prefix", "b"),
        ("/aaa/ccc", "Exact", "c"),
        ("/aaa", "Exact", "c"),
        ("/impl", "ImplementationSpecific", "b"),
        ("/tail/", "Exact", "c"),
    )
    await served.serve(world(ingress("one", rules), services=ports(backends)))
    expected = {
        "/aaa": "c",
        "/aaa/": "a",
        "/aaa/x": "a",
        "/aaab": 404,
        "/aaa/bbb": "b",
        "/aaa/bbb/": "b",
        "/aaa/bbb/x": "b",
        "/aaa/bbbb": "a",
        "/aaa/ccc": "c",
        "/aaa/ccc/": "a",
        "/aaa/ccc/x": "a",
        "/AAA": 404,
        "/impl": "b",
        "/impl/x": "b",
        "/implx": 404,
        "/tail": 404,
        "/tail/": "c",
        "/": 404,
    }
    assert {path: await served.backend_of("x.test", path) for path in expected} == expected


async def test_an_empty_path_means_all(served: Gateway, backends: dict[str, Backend]) -> None:
    """A rule without a path is `/`, and `/` matches everything."""
    await served.serve(
        world(ingress("one", rule("x.test", ("", "ImplementationSpecific", "a"))), services=ports(backends))
    )
    assert [await served.backend_of("x.test", path) for path in ("/", "/any", "/any/thing?q=1")] == ["a"] * 3


async def test_request_paths_reach_the_backend_unchanged(served: Gateway, backends: dict[str, Backend]) -> None:
    """Escapes, doubled slashes and queries are the backend's business."""
    await served.serve(world(ingress("one", rule("x.test", ("/", "Prefix", "a"))), services=ports(backends)))
    answer = await served.get("x.test", "/a%20b//%2e?x=%2f&y=1")
    assert (await answer.json())["path"] == "/a%20b//%2e?x=%2f&y=1"


async def test_hosts_exact_before_wildcard_before_default(served: Gateway, backends: dict[str, Backend]) -> None:
    """A wildcard stands for exactly one label; what no host matches goes to rules without a host."""
    snapshot = world(
        ingress("wild", rule("*.x.test", ("/", "Prefix", "a"))),
        ingress("exact", rule("one.x.test", ("/", "Prefix", "b"))),
        ingress("none", rule("", ("/open", "Prefix", "c"))),
        services=ports(backends),
    )
    await served.serve(snapshot)
    expected = {
        "one.x.test": "b",
        "ONE.x.test:8080": "b",
        "two.x.test": "a",
        "a.b.x.test": 404,
        "x.test": 404,
        "other.test": 404,
    }
    assert {host: await served.backend_of(host) for host in expected} == expected
    assert await served.backend_of("other.test", "/open/x") == "c"
    assert await served.backend_of("one.x.test", "/open") == "b"


async def test_default_backends(served: Gateway, backends: dict[str, Backend]) -> None:
    """An Ingress without rules catches all unknown hosts; one with rules only what its own hosts leave."""
    snapshot = world(
        ingress("catch-all", default="c"),
        ingress("host", rule("x.test", ("/api", "Prefix", "a")), default="b"),
        ingress("plain", rule("y.test", ("/api", "Prefix", "a"))),
        services=ports(backends),
    )
    await served.serve(snapshot)
    assert await served.backend_of("x.test", "/api") == "a"
    assert await served.backend_of("x.test", "/else") == "b"
    assert await served.backend_of("y.test", "/else") == 404
    assert await served.backend_of("unknown.test", "/else") == "c"


async def test_without_endpoints_503_and_without_a_match_404(served: Gateway, backends: dict[str, Backend]) -> None:
    """No endpoints, no Service and an unknown host are told apart."""
    rules = rule("x.test", ("/empty", "Prefix", "empty"), ("/gone", "Prefix", "gone"), ("/a", "Prefix", "a"))
    graph = await served.serve(world(ingress("one", rules), services=ports(backends) | {"empty": None}))
    assert [await served.backend_of("x.test", path) for path in ("/empty", "/gone", "/a", "/no")] == [
        503,
        503,
        "a",
        404,
    ]
    assert [problem.reason for problem in graph.problems] == ["ServiceNotFound"]


async def test_the_older_ingress_keeps_a_path_and_paths_merge(served: Gateway, backends: dict[str, Backend]) -> None:
    """The same host and path twice: the older one wins, the other is told; its other paths are served."""
    old = ingress("old", rule("x.test", ("/", "Prefix", "a")), created="2025-01-01T00:00:00Z")
    new = ingress("new", rule("x.test", ("/", "Prefix", "b"), ("/b", "Prefix", "b")), created="2025-01-02T00:00:00Z")
    graph = await served.serve(world(new, old, services=ports(backends)))
    assert [await served.backend_of("x.test", path) for path in ("/", "/b")] == ["a", "b"]
    assert [(p.ref.name, p.reason) for p in graph.problems] == [("new", "PathConflict")]


async def test_requests_spread_over_endpoints_and_leave_dead_ones(
    served: Gateway, backends: dict[str, Backend]
) -> None:
    """All endpoints get requests; one that refuses connections costs no request."""
    await served.serve(
        world(
            ingress("one", rule("x.test", ("/", "Prefix", "all"))),
            services={"all": [b.port for b in backends.values()]},
        )
    )
    assert {await served.backend_of("x.test") for _ in range(20)} == {"a", "b", "c"}
    await backends["b"].stop()
    assert {await served.backend_of("x.test") for _ in range(20)} == {"a", "c"}
    await backends["b"].start()


async def test_a_bad_path_is_left_out_alone(served: Gateway, backends: dict[str, Backend]) -> None:
    """Neighbours of a path that nginx would read as configuration go on, in the same object and in others."""
    bad = ingress(
        "bad",
        rule("x.test", ("/a;return 200;", "ImplementationSpecific", "b"), ("/ok", "Prefix", "a")),
        rule('y.test"; }', ("/", "Prefix", "b")),
    )
    good = ingress("good", rule("z.test", ("/", "Prefix", "c")))
    graph = await served.serve(world(bad, good, services=ports(backends)))
    assert await served.backend_of("x.test", "/ok") == "a"
    assert await served.backend_of("z.test") == "c"
    assert [(p.reason, p.field) for p in graph.problems] == [
        ("InvalidHost", "spec.rules[1].host"),
        ("InvalidPath", "spec.rules[0].http.paths[0].path"),
    ]
