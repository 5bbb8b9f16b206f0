"""What annotations of backends come to in the plan: protocols, proxying, balancing."""

from __future__ import annotations

from typing import Any

import pytest
import trustme

from gateway_operator.ingress.plan import Endpoint
from gateway_operator.ingress.policies import (
    Affinity,
    Balancing,
    HealthCheck,
    UpstreamTls,
)
from tests.nginx.objects import ingress, meta, rule
from tests.unit.ingress.front import (
    OURS,
    PREFIX,
    S,
    T,
    cluster,
    one_route,
    plan_of,
    routes_of,
    secret,
    service,
    told,
    upstream_of,
)

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
