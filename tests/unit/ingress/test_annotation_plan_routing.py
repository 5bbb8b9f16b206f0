"""What annotations of routing come to in the plan: rewrites, redirects, names, canaries."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_operator.ingress.parse import ParseRules, parse_ingress
from gateway_operator.ingress.policies import (
    Canary,
    Redirect,
    Rewrite,
)
from tests.nginx.objects import ingress, rule
from tests.unit.ingress.front import (
    PREFIX,
    S,
    T,
    cluster,
    one_route,
    plan_of,
    routes_of,
    server_of,
    told,
)

REGEX = {"use-regex": "true"}


# rewrites and regular expressions


def test_rewrite_targets_make_own_paths_regular_expressions() -> None:
    """Groups of the path can be used; other Ingresses of the host keep their prefixes."""
    one = ingress(
        "one", rule("x.test", ("/api(/|$)(.*)", "ImplementationSpecific", "s")), annotations={"rewrite-target": "/$2"}
    )
    plan = plan_of(cluster(one, ingress("two", rule("x.test", PREFIX)), S))
    routes = server_of(plan, "x.test").routes
    assert [(route.path, route.regex, route.settings.rewrite) for route in routes] == [
        ("/api(/|$)(.*)", True, Rewrite("/$2")),
        ("/", False, None),
    ]


def test_routes_of_a_host_with_expressions_come_in_the_order_of_their_length() -> None:
    """A prefix longer than an expression is asked before it; exact paths come first."""
    one = ingress("one", rule("x.test", ("/", "Prefix", "s")), annotations={"rewrite-target": "/"})
    two = ingress("two", rule("x.test", ("/a.b", "Prefix", "t"), ("/exact", "Exact", "t")))
    three = ingress("three", rule("x.test", ("/a/[0-9]+", "ImplementationSpecific", "s")), annotations=REGEX)
    routes = server_of(plan_of(cluster(one, two, three, S, T)), "x.test").routes
    assert [(route.path, route.exact, route.regex) for route in routes] == [
        ("/exact", True, False),
        ("/a/[0-9]+", False, True),
        ("(?-i:/a\\.b)(?:/|$)", False, True),
        ("/", False, True),
        ("/", False, False),
    ]


@pytest.mark.parametrize("path", ["/(a+)+", "/a(", "/a b", "/a;b", "/a{", "/" + "a" * 600, "/\\1", "/$x"])
def test_bad_expressions_are_left_out(path: str) -> None:
    """nginx never sees an expression that it would refuse or hang on."""
    item = ingress("one", rule("x.test", (path, "ImplementationSpecific", "s")), annotations=REGEX)
    assert told(cluster(item, S)) == [("InvalidPath", "spec.rules[0].http.paths[0].path")]


def test_prefixes_in_a_regular_ingress_are_literal() -> None:
    """A dot in a Prefix path means a dot; strict paths hold no expressions."""
    rules = parse_ingress(
        ingress("one", rule("x.test", ("/v1.0", "Prefix", "s"), ("/a|b", "Prefix", "s")), annotations=REGEX)
    )
    assert [(path.path, path.regex) for path in rules.paths] == [("/v1\\.0", True)]
    loose = parse_ingress(
        ingress("one", rule("x.test", ("/a|b", "Prefix", "s")), annotations=REGEX), ParseRules(strict_paths=False)
    )
    assert [path.path for path in loose.paths] == ["/a|b"]


def test_app_root_redirects_the_root_only() -> None:
    """`/` becomes a redirect, what lies below stays; an Ingress without `/` is told."""
    item = ingress("one", rule("x.test", PREFIX), annotations={"app-root": "/app"})
    routes = routes_of(plan_of(cluster(item, S)))
    assert routes["/", True].settings.redirect == Redirect(302, "/app")
    assert routes["/", False].settings.redirect is None
    other = ingress("one", rule("x.test", ("/a", "Prefix", "s")), annotations={"app-root": "/app"})
    assert told(cluster(other, S)) == [("InvalidReference", "app-root")]


# redirects and names


def test_redirects() -> None:
    """Temporal comes before permanent; codes have upstream's defaults."""
    notes = {"permanent-redirect": "https://p.test$request_uri", "permanent-redirect-code": "308"}
    assert one_route(notes).settings.redirect == Redirect(308, "https://p.test", append_uri=True)
    both = notes | {"temporal-redirect": "https://t.test/a"}
    assert one_route(both).settings.redirect == Redirect(302, "https://t.test/a")


def test_www_is_redirected_unless_it_is_a_host() -> None:
    """A server of its own sends clients on with their scheme; a host of that name wins over it."""
    notes = {"from-to-www-redirect": "true"}
    item = ingress("one", rule("x.test", PREFIX), rule("www.y.test", PREFIX), annotations=notes)
    plan = plan_of(cluster(item, S))
    assert [server.host for server in plan.servers] == ["", "www.x.test", "www.y.test", "x.test", "y.test"]
    route = server_of(plan, "www.x.test").routes[0]
    assert route.settings.redirect == Redirect(308, "//x.test", append_uri=True)
    other = ingress("two", rule("www.x.test", PREFIX))
    assert told(cluster(item, other, S)) == [("HostConflict", "from-to-www-redirect")]
    assert server_of(plan_of(cluster(item, other, S)), "www.x.test").routes[0].upstream


def test_aliases_belong_to_one_host() -> None:
    """The older host has a name that two want; a host of its own beats them all."""
    notes = {"server-alias": "a.test,b.test"}
    one = ingress("one", rule("x.test", PREFIX), annotations=notes, created="2026-01-01T00:00:00Z")
    two = ingress("two", rule("w.test", PREFIX), annotations=notes, created="2026-01-02T00:00:00Z")
    plan = plan_of(cluster(one, two, ingress("three", rule("b.test", PREFIX)), S))
    assert server_of(plan, "x.test").aliases == ("a.test",)
    assert server_of(plan, "w.test").aliases == ()
    found = told(cluster(one, two, ingress("three", rule("b.test", PREFIX)), S))
    assert found == [("HostConflict", "server-alias")] * 3


# canaries


def canary(name: str = "canary", service_name: str = "t", **notes: str) -> dict[str, Any]:
    annotations = {"canary": "true"} | {key.replace("_", "-"): value for key, value in notes.items()}
    return ingress(name, rule("x.test", ("/", "Prefix", service_name)), annotations=annotations)


def test_canaries_join_their_path() -> None:
    """Weight, header and cookie come from the canary, everything else from the main Ingress."""
    main = ingress("main", rule("x.test", PREFIX), annotations={"proxy-body-size": "1m"})
    first = canary(canary_weight="20", canary_by_header="X-C", canary_by_header_value="yes", proxy_body_size="9m")
    plan = plan_of(cluster(main, first, canary("second", "s", canary_by_cookie="c"), S, T))
    route = routes_of(plan)["/", False]
    assert route.profile.body_size == "1m"
    one, two = route.settings.canaries
    assert (one.weight, one.total, one.header, one.header_value) == (20, 100, "X-C", "yes")
    assert one.upstream_name == "apps-t-80"
    assert (two.weight, two.cookie) == (0, "c")
    assert len(plan.upstreams) == 2


def test_canaries_find_regular_paths() -> None:
    """The canary writes the same text, whether it says use-regex or not."""
    path = ("/a(/|$)(.*)", "ImplementationSpecific", "s")
    main = ingress("main", rule("x.test", path), annotations={"rewrite-target": "/$2"})
    for more in ({}, REGEX):
        notes = {"canary": "true", "canary-weight": "10"} | more
        item = ingress("c", rule("x.test", (*path[:2], "t")), annotations=notes)
        route = routes_of(plan_of(cluster(main, item, S, T)))["/a(/|$)(.*)", False]
        assert [found.weight for found in route.settings.canaries] == [10]


def test_lone_canaries_are_told() -> None:
    """Without a main Ingress for the same host, path and type there is nothing to join."""
    assert told(cluster(canary(canary_weight="5"), T)) == [("CanaryWithoutMain", "spec.rules[0].http.paths[0")]
    exact = ingress("main", rule("x.test", ("/", "Exact", "s")))
    assert told(cluster(exact, canary(), S, T))[0][0] == "CanaryWithoutMain"


def test_weights_never_exceed_their_total() -> None:
    """A weight above the total is the total; patterns and values need a header."""
    main = ingress("main", rule("x.test", PREFIX))
    item = canary(canary_weight="300", canary_weight_total="200", canary_by_header_value="x")
    route = routes_of(plan_of(cluster(main, item, S, T)))["/", False]
    found = route.settings.canaries[0]
    assert isinstance(found, Canary)
    assert (found.weight, found.total, found.header_value) == (200, 200, None)


def test_sticky_canaries() -> None:
    """The main Ingress's cookie binds canaries too, unless one says legacy."""
    main = ingress("main", rule("x.test", PREFIX), annotations={"affinity": "cookie"})
    for behaviour, sticky in (("sticky", True), ("legacy", False)):
        plan = plan_of(cluster(main, canary(affinity_canary_behavior=behaviour), S, T))
        by_id = {item.id: item.balancing.affinity for item in plan.upstreams}
        route = routes_of(plan)["/", False]
        own = by_id[route.upstream or ""]
        assert own is not None
        assert own.canary_sticky is sticky
        assert (by_id[route.settings.canaries[0].upstream or ""] is not None) is sticky
