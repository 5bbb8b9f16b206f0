"""What annotations come to in the plan: the rules of upstream, and where ours differ."""

from __future__ import annotations

from typing import Any

import pytest
import trustme

from gateway_operator.ingress.parse import ParseRules, parse_ingress
from gateway_operator.ingress.plan import Endpoint, Plan, Route
from gateway_operator.ingress.policies import (
    Affinity,
    Balancing,
    BasicAuth,
    Canary,
    Cors,
    ExternalAuth,
    HealthCheck,
    Limits,
    Redirect,
    Rewrite,
    UpstreamTls,
)
from tests.nginx.objects import ingress, meta, rule
from tests.unit.ingress.front import (
    OURS,
    cluster,
    one_route,
    plan_of,
    routes_of,
    secret,
    server_of,
    service,
    told,
)

S = service("s", "10.0.0.1")
T = service("t", "10.0.0.2")
PREFIX = ("/", "Prefix", "s")
REGEX = {"use-regex": "true"}
APR1 = b"ann:$apr1$abcdefgh$0123456789012345678901\n"


def upstream_of(plan: Plan, route: Route) -> Any:
    return next(item for item in plan.upstreams if item.id == route.upstream)


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


# backends


def test_protocols_make_upstreams_of_their_own() -> None:
    """One Service asked by four protocols is four pools."""
    items = [
        ingress(name.lower(), rule(f"{name.lower()}.test", PREFIX), annotations={"backend-protocol": name})
        for name in ("HTTP", "HTTPS", "GRPC", "GRPCS")
    ]
    plan = plan_of(cluster(*items, S))
    assert len(plan.upstreams) == 4
    assert {route.profile.protocol for server in plan.servers for route in server.routes if route.upstream} == {
        "http",
        "https",
        "grpc",
        "grpcs",
    }


def test_tls_to_backends() -> None:
    """The Secret's pair and authority go into the plan; verification needs an authority."""
    authority = trustme.CA()
    pair = authority.issue_cert("client.test")
    files = {
        "tls__crt": pair.cert_chain_pems[0].bytes(),
        "tls__key": pair.private_key_pem.bytes(),
        "ca__crt": authority.cert_pem.bytes(),
    }
    notes = {
        "backend-protocol": "HTTPS",
        "proxy-ssl-secret": "apps/pair",
        "proxy-ssl-verify": "on",
        "proxy-ssl-name": "back.test",
        "proxy-ssl-server-name": "on",
        "proxy-ssl-verify-depth": "2",
    }
    item = ingress("one", rule("x.test", PREFIX), annotations=notes)
    plan = plan_of(cluster(item, S, secret("pair", **files)))
    tls = routes_of(plan)["/", False].profile.tls
    assert tls == UpstreamTls(tls.pair, tls.authority, True, 2, "back.test", True) if tls else False
    assert tls
    assert tls.pair in {certificate.id for certificate in plan.certificates}
    assert [authority.id for authority in plan.authorities] == [tls.authority]
    without = {key: value for key, value in files.items() if key != "ca__crt"}
    assert told(cluster(item, S, secret("pair", **without))) == [("InvalidReference", "proxy-ssl-verify")]
    shut = routes_of(plan_of(cluster(item, S)))["/", False]
    assert (shut.upstream, shut.status) == (None, 503)


def test_service_upstream_is_the_services_own_address() -> None:
    """The ClusterIP is the only endpoint; a headless Service has its pods."""
    item = ingress("one", rule("x.test", PREFIX), annotations={"service-upstream": "true"})
    plan = plan_of(cluster(item, service("s", "10.0.0.1", clusterIP="10.96.0.7")))
    assert plan.upstreams[0].endpoints == (Endpoint("10.96.0.7", 80),)
    headless = plan_of(cluster(item, service("s", "10.0.0.1", clusterIP="None")))
    assert headless.upstreams[0].endpoints == (Endpoint("10.0.0.1", 8080),)


def test_errors_go_to_the_default_backend() -> None:
    """Codes are caught where somebody can answer them, and a dead backend is answered for."""
    notes = {"default-backend": "t", "custom-http-errors": "503,404"}
    item = ingress("one", rule("x.test", PREFIX), annotations=notes)
    plan = plan_of(cluster(item, S, T))
    route = routes_of(plan)["/", False]
    assert route.profile.intercept_errors == (404, 503)
    assert route.settings.error_upstream in {upstream.id for upstream in plan.upstreams}
    dead = plan_of(cluster(item, service("s"), T))
    assert upstream_of(dead, routes_of(dead)["/", False]).endpoints == (Endpoint("10.0.0.2", 8080),)
    alone = ingress("one", rule("x.test", PREFIX), annotations={"custom-http-errors": "404"})
    assert routes_of(plan_of(cluster(alone, S)))["/", False].profile.intercept_errors == ()
    wide = routes_of(
        plan_of(
            cluster(ingress("one", rule("x.test", PREFIX)), S, T, config={"custom-http-errors": "500"}),
            default_backend="apps/t",
        )
    )["/", False]
    assert wide.profile.intercept_errors == (500,)


def test_proxy_settings_reach_the_profile() -> None:
    """What nginx reads from its configuration only, as it was asked for."""
    notes = {
        "proxy-body-size": "8m",
        "proxy-buffering": "on",
        "proxy-buffer-size": "8k",
        "proxy-buffers-number": "6",
        "proxy-request-buffering": "off",
        "client-body-buffer-size": "16k",
        "proxy-http-version": "1.0",
        "proxy-next-upstream": "error",
        "proxy-next-upstream-tries": "2",
        "proxy-next-upstream-timeout": "3",
        "proxy-cookie-path": "/a /b",
        "proxy-cookie-domain": "off",
        "proxy-redirect-from": "http://a.test/",
        "proxy-redirect-to": "https://a.test/",
        "proxy-max-temp-file-size": "0",
        "connection-proxy-header": "close",
        "enable-access-log": "false",
        "proxy-connect-timeout": "2",
        "proxy-read-timeout": "3",
        "proxy-send-timeout": "4",
        "upstream-vhost": "$service_name.$namespace.svc",
        "x-forwarded-prefix": "/p",
    }
    route = one_route(notes)
    profile, settings = route.profile, route.settings
    assert (profile.body_size, profile.buffering, profile.buffer_size, profile.buffers_number) == ("8m", "on", "8k", 6)
    assert (profile.request_buffering, profile.client_body_buffer_size, profile.http_version) == ("off", "16k", "1.0")
    assert (profile.next_upstream, profile.next_upstream_tries, profile.next_upstream_timeout) == ("error", 2, "3s")
    assert (profile.cookie_path, profile.cookie_domain) == (("/a", "/b"), ("off", ""))
    assert (profile.redirect, profile.max_temp_file_size) == (("http://a.test/", "https://a.test/"), "0")
    assert (profile.connection_header, profile.access_log) == ("close", False)
    assert (settings.connect_timeout, settings.read_timeout, settings.send_timeout) == ("2s", "3s", "4s")
    assert (settings.upstream_host, settings.forwarded_prefix) == ("s.apps.svc", "/p")


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ({"proxy-busy-buffers-size": "8k"}, "8k"),
        ({"proxy-busy-buffers-size": "64k"}, "8192"),
        ({"proxy-busy-buffers-size": "2k"}, "8192"),
        ({"proxy-buffer-size": "16k"}, None),
    ],
)
def test_busy_buffers_that_nginx_would_refuse(notes: dict[str, str], expected: str | None) -> None:
    """nginx checks three sizes together; what doesn't fit becomes two buffers."""
    assert one_route(notes).profile.busy_buffers_size == expected


def test_headers_of_answers() -> None:
    """From a ConfigMap what the administrator allows, from our own annotation what it says."""
    headers = {"metadata": meta("headers"), "data": {"X-One": "1", "X-Two": "2", "Bad Name": "3"}}
    notes = {"custom-headers": "apps/headers"}
    config = {"global-allowed-response-headers": "X-One"}
    route = one_route(notes, headers, config=config, ours={f"{OURS}response-headers": "X-Three: 3"})
    assert route.settings.response_headers == (("X-One", "1"), ("X-Three", "3"))
    item = ingress("one", rule("x.test", PREFIX), annotations=notes)
    assert told(cluster(item, S, headers, config=config)) == [("InvalidReference", "custom-headers")] * 2
    assert told(cluster(item, S)) == [("InvalidReference", "custom-headers")]


# balancing


def test_balancing() -> None:
    """A cookie comes before a hash, a hash before an algorithm; the ConfigMap's holds without any."""

    def found(notes: dict[str, str], **more: Any) -> Balancing:
        item = ingress("one", rule("x.test", PREFIX), annotations=notes)
        item["metadata"]["annotations"] |= more.pop("ours", {})
        plan = plan_of(cluster(item, S, **more))
        return upstream_of(plan, routes_of(plan)["/", False]).balancing

    assert found({}) == Balancing()
    assert found({}, config={"load-balance": "ewma"}) == Balancing("ewma")
    assert found({"load-balance": "least_conn"}) == Balancing("least_conn")
    assert found({"load-balance": "ewma", "upstream-hash-by": "$host"}) == Balancing("hash", "${host}")
    sticky = found({"affinity": "cookie", "upstream-hash-by": "$host", "session-cookie-name": "c"})
    assert sticky == Balancing(affinity=Affinity(cookie="c"))
    ours = {f"{OURS}health-check-path": "/up", f"{OURS}slow-start": "30", f"{OURS}max-fails": "2"}
    assert found({}, ours=ours) == Balancing(max_fails=2, slow_start=30.0, health_check=HealthCheck("/up"))
    assert found({}, config={"upstream-max-fails": "3", "upstream-fail-timeout": "1m"}) == Balancing(
        max_fails=3, fail_timeout=60.0
    )


def test_different_balancing_of_one_service_are_different_upstreams() -> None:
    """Two Ingresses of one Service don't take over each other's cookie."""
    one = ingress("one", rule("x.test", PREFIX), annotations={"affinity": "cookie"})
    plan = plan_of(cluster(one, ingress("two", rule("y.test", PREFIX)), S))
    assert len({upstream.id for upstream in plan.upstreams}) == 2


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


# who may ask


def test_basic_auth() -> None:
    """Both forms of Secrets; what can't be read shuts the path and says so."""
    notes = {"auth-type": "basic", "auth-secret": "users", "auth-realm": "Here"}
    route = one_route(notes, secret("users", auth=APR1))
    assert route.profile.basic_auth
    assert route.settings.basic_auth == BasicAuth(
        route.settings.basic_auth.file if route.settings.basic_auth else "", "Here"
    )
    as_map = one_route(notes | {"auth-secret-type": "auth-map"}, secret("users", ann=APR1.strip().partition(b":")[2]))
    assert as_map.settings.basic_auth == route.settings.basic_auth
    item = ingress("one", rule("x.test", PREFIX), annotations=notes)
    for objects in ([], [secret("users", auth=b"nothing")], [secret("users", "other", auth=APR1)]):
        snapshot = cluster(item, S, *objects)
        assert told(snapshot) == [("InvalidReference", "auth-secret")]
        assert routes_of(plan_of(snapshot))["/", False].upstream is None


def test_secrets_of_other_namespaces_are_refused() -> None:
    """A name with another namespace is a problem, not a look-up."""
    notes = {"auth-type": "basic", "auth-secret": "other/users"}
    item = ingress("one", rule("x.test", PREFIX), annotations=notes)
    snapshot = cluster(item, S, secret("users", "other", auth=APR1))
    assert told(snapshot) == [("InvalidReference", "auth-secret")]
    assert routes_of(plan_of(snapshot))["/", False].upstream is None


def test_external_auth_by_name_in_the_cluster() -> None:
    """The URL's host leads to the endpoints of an observed Service, never to DNS."""
    notes = {
        "auth-url": "http://t.apps.svc.cluster.local/check",
        "auth-signin": "https://$host/login?rd=$escaped_request_uri",
        "auth-response-headers": "X-User",
        "auth-method": "POST",
    }
    item = ingress("one", rule("x.test", PREFIX), annotations=notes)
    plan = plan_of(cluster(item, S, T))
    auth = routes_of(plan)["/", False].profile.external_auth
    assert auth is not None
    assert [item.endpoints for item in plan.upstreams if item.id == auth.upstream] == [(Endpoint("10.0.0.2", 8080),)]
    assert auth == ExternalAuth(
        auth.upstream,
        False,
        "t.apps.svc.cluster.local",
        "/check",
        "POST",
        "https://${host}/login?rd=${escaped_request_uri}",
        "",
        ("X-User",),
    )


def test_external_auth_on_the_own_host() -> None:
    """`$host` leads to the host's own path, without a second way through the gateway."""
    one = ingress("one", rule("x.test", PREFIX), annotations={"auth-url": "https://$host/oauth2/auth"})
    two = ingress("two", rule("x.test", ("/oauth2", "Prefix", "t")))
    auth = routes_of(plan_of(cluster(one, two, S, T)))["/", False].profile.external_auth
    assert auth is not None
    assert (auth.host, auth.uri, auth.tls, auth.redirect_param) == ("", "/oauth2/auth", False, "rd")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:10246/", "ForbiddenAddress"),
        ("http://[::1]/", "ForbiddenAddress"),
        ("http://169.254.169.254/latest", "ForbiddenAddress"),
        ("http://localhost/", "UnsupportedBackend"),
        ("http://missing.apps.svc/", "ServiceNotFound"),
        ("http://unknown.test/", "AuthUnavailable"),
        ("http://bad.test/", "ForbiddenAddress"),
        ("http://$host/nothing", "AuthUnavailable"),
    ],
)
def test_external_auth_that_fails_shuts_the_path(url: str, reason: str) -> None:
    """Nothing that can't be asked, or must not be, lets anybody in."""
    item = ingress("one", rule("x.test", ("/a", "Prefix", "s")), annotations={"auth-url": url})
    snapshot = cluster(item, S, names={"bad.test": ("127.0.0.1", "169.254.1.1")})
    assert told(snapshot) == [(reason, "auth-url")]
    route = routes_of(plan_of(snapshot))["/a", False]
    assert (route.upstream, route.status, route.profile.external_auth) == (None, 503, None)


def test_names_that_were_resolved() -> None:
    """A DNS name has the addresses that the controller found."""
    item = ingress("one", rule("x.test", PREFIX), annotations={"auth-url": "https://auth.test:8443/x"})
    plan = plan_of(cluster(item, S, names={"auth.test": ("10.9.9.9", "127.0.0.1")}))
    auth = routes_of(plan)["/", False].profile.external_auth
    assert auth is not None
    assert (auth.tls, auth.host) == (True, "auth.test:8443")
    assert (Endpoint("10.9.9.9", 8443),) in [item.endpoints for item in plan.upstreams]


def test_gateway_wide_auth() -> None:
    """`global-auth-url` holds for every path but those that opt out; nobody there to ask shuts the rest."""
    config = {"global-auth-url": "http://t.apps.svc/check", "global-auth-signin": "https://x.test/login"}
    items = [
        ingress("one", rule("x.test", PREFIX, ("/.well-known/acme-challenge/y", "Exact", "s"))),
        ingress("two", rule("x.test", ("/open", "Prefix", "s")), annotations={"enable-global-auth": "false"}),
    ]
    routes = routes_of(plan_of(cluster(*items, S, T, config=config)))
    auth = routes["/", False].profile.external_auth
    assert auth is not None
    assert auth.signin == "https://x.test/login"
    assert routes["/open", False].profile.external_auth is None
    assert routes["/.well-known/acme-challenge/y", True].profile.external_auth is None
    assert routes["/.well-known/acme-challenge/y", True].upstream
    dead = routes_of(plan_of(cluster(*items, S, config=config)))
    assert dead["/", False].upstream is None
    assert dead["/open", False].upstream
    wrong = routes_of(plan_of(cluster(*items, S, T, config={"global-auth-url": "http://$host/"})))
    assert {route.upstream for route in wrong.values()} == {None}


def test_client_certificates_are_the_hosts() -> None:
    """The oldest Ingress decides for the host; without its authority the host is shut."""
    ca = secret("ca", ca__crt=trustme.CA().cert_pem.bytes())
    notes = {"auth-tls-secret": "apps/ca", "auth-tls-verify-depth": "2", "auth-tls-match-cn": "CN=one"}
    one = ingress("one", rule("x.test", PREFIX), annotations=notes)
    two = ingress("two", rule("x.test", ("/b", "Prefix", "s")), annotations={"auth-tls-secret": "apps/other"})
    plan = plan_of(cluster(one, two, S, ca))
    clients = server_of(plan, "x.test").client_auth
    assert clients is not None
    assert (clients.verify, clients.depth, clients.common_name) == ("on", 2, "CN=one")
    assert [item.id for item in plan.authorities] == [clients.authority]
    assert told(cluster(one, two, S, ca)) == [("HostConflict", "auth-tls-secret")]
    shut = server_of(plan_of(cluster(one, S)), "x.test")
    assert {route.upstream for route in shut.routes} == {None}
    off = ingress("one", rule("x.test", PREFIX), annotations=notes | {"auth-tls-verify-client": "off"})
    assert server_of(plan_of(cluster(off, S)), "x.test").client_auth is None
    wrong = ingress("one", rule("x.test", PREFIX), annotations=notes | {"auth-tls-match-cn": "one"})
    assert {route.upstream for route in server_of(plan_of(cluster(wrong, two, S, ca)), "x.test").routes} == {None}


def test_cors() -> None:
    """Upstream's defaults; a wrong origin switches CORS off rather than opening it."""
    assert one_route({"cors-allow-origin": "https://a.test"}).settings.cors is None
    found = one_route({"enable-cors": "true"})
    assert found.profile.cors
    assert isinstance(found.settings.cors, Cors)
    assert (found.settings.cors.origins, found.settings.cors.credentials) == (("*",), True)
    assert "PATCH" in found.settings.cors.methods
    wrong = one_route({"enable-cors": "true", "cors-allow-origin": "https://a.test, b"})
    assert (wrong.settings.cors, wrong.profile.cors, bool(wrong.upstream)) == (None, False, True)


def test_limits_and_networks() -> None:
    """Networks of an Ingress replace the gateway's; a rate of zero is no limit."""
    notes = {
        "limit-rps": "5",
        "limit-rpm": "0",
        "limit-whitelist": "10.0.0.0/8",
        "whitelist-source-range": "11.0.0.0/8",
    }
    settings = one_route(notes, config={"denylist-source-range": "12.0.0.1"}).settings
    assert settings.limits == Limits(rps=5, exempt=("10.0.0.0/8",))
    assert (settings.allow, settings.deny) == (("11.0.0.0/8",), ("12.0.0.1/32",))
    assert one_route({"limit-rps": "0"}).settings.limits is None
    shut = one_route({"whitelist-source-range": "everybody"})
    assert shut.upstream is None
    assert one_route({"satisfy": "any"}).profile.satisfy_any
    rated = one_route({"limit-rate": "0", "limit-rate-after": "8"}).profile
    assert (rated.limit_rate, rated.limit_rate_after) == (0, 8)


# TLS unopened, and ports


def test_passthrough_needs_the_flag() -> None:
    """TLS of the host goes to the backend of `/`; without the flag the Ingress is told."""
    item = ingress("one", rule("x.test", PREFIX), annotations={"ssl-passthrough": "true"})
    plan = plan_of(cluster(item, S), passthrough=True)
    assert [found.host for found in plan.passthroughs] == ["x.test"]
    assert plan.passthroughs[0].upstream in {upstream.id for upstream in plan.upstreams}
    assert told(cluster(item, S)) == [("UnsupportedAnnotation", "ssl-passthrough")]
    assert plan_of(cluster(item, S)).passthroughs == ()


def test_ports_of_configmaps() -> None:
    """Each entry is a port with the Service's own address; a wrong one is named."""
    udp = {"metadata": meta("dns"), "spec": {"ports": [{"port": 53, "protocol": "UDP"}], "clusterIP": "10.96.0.53"}}
    services = cluster(service("s", "10.0.0.1", clusterIP="10.96.0.7"))
    both = {**services.services, ("apps", "dns"): udp}
    snapshot = cluster(
        tcp={
            "9000": "apps/s:80:PROXY:PROXY",
            "9001": "apps/s:http",
            "80": "apps/s:80",
            "9002": "s:80",
            "x": "apps/s:80",
        },
        udp={"53": "apps/dns:53"},
    )
    snapshot = type(snapshot)((), both, services.slices, tcp=snapshot.tcp, udp=snapshot.udp)
    plan = plan_of(snapshot)
    assert [(item.port, item.protocol, item.accept_proxy, item.send_proxy) for item in plan.services] == [
        (9000, "tcp", True, True),
        (9001, "tcp", False, False),
        (53, "udp", False, False),
    ]
    ends = {item.id: item.endpoints for item in plan.upstreams}
    assert ends[plan.services[0].upstream or ""] == (Endpoint("10.96.0.7", 80),)
    assert ends[plan.services[2].upstream or ""] == (Endpoint("10.96.0.53", 53),)
    assert sorted(told(snapshot)) == [("InvalidConfig", f"data[{name}") for name in ("80", "9002", "x")]


def test_external_names() -> None:
    """A name of the cluster means its Service; any other one what DNS said; loopback never."""
    item = ingress("one", rule("x.test", PREFIX))
    inside = service("s", type="ExternalName", externalName="t.apps.svc.cluster.local")
    assert plan_of(cluster(item, inside, T)).upstreams[0].endpoints == (Endpoint("10.0.0.2", 8080),)
    outside = service("s", type="ExternalName", externalName="db.test", ports=[])
    names = {"db.test": ("10.5.5.5",)}
    assert plan_of(cluster(item, outside, names=names)).upstreams[0].endpoints == (Endpoint("10.5.5.5", 80),)
    for name, addresses in (("db.test", ("127.0.0.1",)), ("localhost", ())):
        bad = cluster(item, service("s", type="ExternalName", externalName=name), names={"db.test": addresses})
        assert plan_of(bad).upstreams == ()
        assert told(bad)[0][0] in {"ForbiddenAddress", "UnsupportedBackend"}
