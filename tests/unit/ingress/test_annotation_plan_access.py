"""What annotations of access come to in the plan: who may ask, how much, and which ports."""

from __future__ import annotations

import pytest
import trustme

from gateway_operator.ingress.plan import Endpoint
from gateway_operator.ingress.policies import (
    BasicAuth,
    Cors,
    ExternalAuth,
    Limits,
)
from tests.nginx.objects import ingress, meta, rule
from tests.unit.ingress.front import (
    PREFIX,
    S,
    T,
    cluster,
    one_route,
    plan_of,
    routes_of,
    secret,
    server_of,
    service,
    told,
)

APR1 = b"ann:$apr1$abcdefgh$0123456789012345678901\n"


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
