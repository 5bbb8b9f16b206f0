"""The ConfigMap's keys: what each does to requests, logs and connections."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time

import pytest

from tests.nginx.harness import Backend, Gateway, eventually, exchange, ports
from tests.nginx.objects import configmap, site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")

_OF = "$namespace ${ingress_name} $service_name $service_port $location_path $proxy_upstream_name"


async def test_headers_to_backends(served: Gateway, backends: dict[str, Backend]) -> None:
    """proxy-set-headers adds (with variables), generate-request-id, the original URI, another forwarded-for header."""
    config = {
        "proxy-set-headers": "gw/set",
        "proxy-add-original-uri-header": "true",
        "generate-request-id": "false",
        "forwarded-for-header": "X-Client",
        "enable-real-ip": "true",
        "enable-underscores-in-headers": "true",
    }
    maps = [configmap("set", "gw", **{"X-Set": "$host/$request_method", "X-Plain": 'a "b"', "X-Of": _OF})]
    await served.serve(world(site("x.test"), services=ports(backends), config=config, configmaps=maps))
    headers = (await served.told("x.test", "/p?q", headers={"X-Client": "6.6.6.6", "under_score": "1"}))["headers"]
    assert (headers["X-Set"], headers["X-Plain"]) == ("x.test/GET", 'a "b"')
    assert headers["X-Of"] == "apps x.test a 80 / apps-a-80"
    assert headers["X-Original-URI"] == "/p?q"
    assert "X-Request-ID" not in headers
    assert (headers["X-Real-IP"], headers["X-Original-Forwarded-For"]) == ("6.6.6.6", "6.6.6.6")
    assert headers["under_score"] == "1"


async def test_headers_to_clients(served: Gateway, backends: dict[str, Backend]) -> None:
    """add-headers on every answer, also our own errors and TLS hosts; hide-headers; the backend's Server header."""
    config = {
        "add-headers": "gw/add",
        "hide-headers": "X-Hidden,X-Also",
        "allow-backend-server-header": "true",
        "hsts-max-age": "60",
        "hsts-include-subdomains": "false",
        "hsts-preload": "true",
    }
    maps = [configmap("add", "gw", **{"X-Add": "v; a=1"})]
    objects = site("x.test", {"ssl-redirect": "false"}, tls=[(["x.test"], "")]), site("y.test", {"enable-cors": "true"})
    await served.serve(world(*objects, services=ports(backends), config=config, configmaps=maps))
    answer = await served.get_tls("x.test", "/?h.X-Hidden=1&h.X-Seen=1&h.X-Add=theirs&h.Server=mine")
    assert answer.headers.getall("X-Add") == ["v; a=1"]
    assert ("X-Hidden" in answer.headers, answer.headers["X-Seen"]) == (False, "1")
    assert answer.headers["Server"] == "mine"
    assert answer.headers["Strict-Transport-Security"] == "max-age=60; preload"
    assert (await served.get("y.test")).headers["X-Add"] == "v; a=1"
    assert (await served.get("unknown.test")).headers["X-Add"] == "v; a=1"


async def test_who_is_shut_out(served: Gateway, backends: dict[str, Backend]) -> None:
    """Blocked user agents and referers, plain and as expressions; source ranges for all; blocked networks."""
    config = {"block-user-agents": "~*^bad.*,Evil Bot", "block-referers": "~spam"}
    await served.serve(world(site("x.test"), services=ports(backends), config=config))

    async def status(**headers: str) -> int:
        return int((await served.get("x.test", headers={k.replace("_", "-"): v for k, v in headers.items()})).status)

    assert await status(User_Agent="BADxx") == 403
    assert await status(User_Agent="Evil Bot") == 403
    assert await status(User_Agent="Evil Bot 2") == 200
    assert await status(Referer="http://spam.test/") == 403
    assert await status(Referer="http://good.test/") == 200
    denials: list[dict[str, str]] = [{"block-cidrs": "127.0.0.0/8"}, {"denylist-source-range": "127.0.0.0/8"}]
    denials.append({"whitelist-source-range": "10.0.0.0/8"})
    for denied in denials:
        await served.serve(world(site("x.test"), services=ports(backends), config=denied))
        assert await status() == 403


async def test_logs(served: Gateway, backends: dict[str, Backend]) -> None:
    """Where logs go, what isn't logged, and how values are escaped."""
    mark = f"log-{served.renderer}-{time.monotonic_ns()}"
    path = f"/tmp/gw-{mark}"
    config = {
        "log-format-upstream": 'uri=$request_uri agent="$http_user_agent"',
        "log-format-escape-none": "true",
        "http-access-log-path": path,
        "skip-access-log-urls": f"/skip-{mark},/other",
    }
    await served.serve(world(site("x.test"), services=ports(backends), config=config))
    for uri in (f"/skip-{mark}", f"/seen-{mark}"):
        await served.get("x.test", uri, headers={"User-Agent": 'a"b'})

    async def lines() -> list[str]:
        with open(path) as file:  # noqa: PTH123
            return file.read().splitlines()

    await eventually(lines)
    assert await lines() == [f'uri=/seen-{mark} agent="a"b"']
    await served.serve(world(site("x.test"), services=ports(backends), config={"disable-http-access-log": "true"}))
    await served.get("x.test", f"/silent-{mark}")
    await served.serve(world(site("x.test"), services=ports(backends), config={"access-log-path": "/dev/stdout"}))
    await served.get("x.test", f"/loud-{mark}")
    await served.logged(f"/loud-{mark}")
    assert f"/silent-{mark}" not in served.log()


async def test_answers_of_backends(served: Gateway, backends: dict[str, Backend]) -> None:
    """Defaults for cookies, redirects, versions, error pages and second tries, each for all Ingresses."""
    config = {
        "proxy-cookie-domain": "inner.test x.test",
        "proxy-cookie-path": "/inner /outer",
        "proxy-redirect-from": "http://inner.test/",
        "proxy-redirect-to": "https://x.test/",
        "proxy-http-version": "1.0",
        "custom-http-errors": "418",
        "proxy-next-upstream": "http_503",
        "retry-non-idempotent": "true",
    }
    numbers = [backend.port for backend in backends.values()]
    snapshot = world(
        site("x.test"),
        site("all.test", {}, ("/", "Prefix", "all")),
        site("off.test", {"disable-proxy-intercept-errors": "true"}),
        services=ports(backends) | {"all": numbers},
        config=config,
    )
    await served.serve(snapshot, default_backend="apps/b")
    cookie = "c=1%3B%20Domain=inner.test%3B%20Path=/inner"
    answer = await served.get("x.test", f"/?h.Set-Cookie={cookie}&h.Location=http://inner.test/p&status=302")
    assert answer.headers["Location"] == "https://x.test/p"
    assert "domain=x.test" in answer.headers["Set-Cookie"].lower()
    assert "path=/outer" in answer.headers["Set-Cookie"].lower()
    assert (await served.told("x.test"))["version"] == "1.0"
    assert json.loads(await (await served.get("x.test", "/?status=418")).text())["backend"] == "b"
    assert json.loads(await (await served.get("off.test", "/?status=418")).text())["backend"] == "a"
    for backend in backends.values():
        backend.seen.clear()
    await served.get("all.test", "/?status=503", method="POST", data=b"x")
    assert sum(len(backend.seen) for backend in backends.values()) == 3


async def test_gzip(served: Gateway, backends: dict[str, Backend]) -> None:
    """Answers of the listed types and of enough length are compressed."""
    config = {"use-gzip": "true", "gzip-types": "application/json", "gzip-min-length": "300", "gzip-level": "9"}
    await served.serve(world(site("x.test"), services=ports(backends), config=config))
    headers = {"Accept-Encoding": "gzip"}
    long, short = "/" + "x" * 400, "/s"
    assert (await served.get("x.test", long, headers=headers)).headers.get("Content-Encoding") == "gzip"
    config["gzip-min-length"] = "5000"
    await served.serve(world(site("x.test"), services=ports(backends), config=config))
    assert "Content-Encoding" not in (await served.get("x.test", short, headers=headers)).headers


async def test_rates_of_answers(served: Gateway, backends: dict[str, Backend]) -> None:
    """limit-rate slows large answers after their first part; nginx does so only where answers are buffered."""
    config = {"limit-rate": "20", "limit-rate-after": "4", "proxy-buffering": "on"}
    await served.serve(world(site("x.test"), services=ports(backends), config=config))
    began = time.monotonic()
    await served.told("x.test", "/?pad=50000")
    assert time.monotonic() - began > 1
    await served.serve(world(site("x.test"), services=ports(backends)))


async def test_proxy_protocol(served: Gateway, backends: dict[str, Backend]) -> None:
    """The client's address and port come from the PROXY protocol of those that are trusted."""
    config = {"use-proxy-protocol": "true", "proxy-real-ip-cidr": "127.0.0.0/8"}
    await served.serve(world(site("x.test"), services=ports(backends), config=config))
    request = b"GET / HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n"
    answer = await exchange(served.http, b"PROXY TCP4 6.6.6.6 7.7.7.7 1234 80\r\n" + request)
    told = json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]
    assert (told["X-Real-IP"], told["X-Forwarded-Port"]) == ("6.6.6.6", "80")
    assert b"200" not in (await exchange(served.http, request)).partition(b"\r\n")[0]


async def test_keepalive_of_clients(served: Gateway, backends: dict[str, Backend]) -> None:
    """keep-alive-requests closes a connection after so many requests; header time-outs close a silent one."""
    config = {"keep-alive-requests": "2", "client-header-timeout": "1", "client-body-timeout": "1"}
    await served.serve(world(site("x.test"), services=ports(backends), config=config))
    request = b"GET / HTTP/1.1\r\nHost: x.test\r\n\r\n"
    assert (await exchange(served.http, request * 3)).count(b"HTTP/1.1 200") == 2
    with contextlib.suppress(ConnectionResetError):
        assert await exchange(served.http, b"GET / HTTP/1.1\r\nHo") == b""
    slow = b"POST / HTTP/1.1\r\nHost: x.test\r\nContent-Length: 9\r\n\r\nabc"
    with contextlib.suppress(ConnectionResetError):
        assert b" 200 " not in (await exchange(served.http, slow)).partition(b"\r\n")[0]


async def test_invalid_headers(served: Gateway, backends: dict[str, Backend]) -> None:
    """Headers with wrong names are dropped, or passed where ignore-invalid-headers is false."""
    for ignore, seen in (("true", False), ("false", True)):
        config = {"ignore-invalid-headers": ignore}
        await served.serve(world(site("x.test"), services=ports(backends), config=config))
        request = b"GET / HTTP/1.1\r\nHost: x.test\r\nX.Dot: 1\r\nConnection: close\r\n\r\n"
        answer = await exchange(served.http, request)
        assert (b"X.Dot" in answer) is seen


async def test_tls_settings(served: Gateway, backends: dict[str, Backend]) -> None:
    """Versions, ciphers, curves and sessions are those of the ConfigMap."""
    config = {
        "ssl-protocols": "TLSv1.2",
        "ssl-ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384",
        "ssl-ecdh-curve": "secp384r1",
        "ssl-session-tickets": "true",
        "ssl-session-cache": "false",
        "ssl-session-cache-size": "2m",
        "ssl-session-timeout": "5m",
        "ssl-buffer-size": "8k",
        "ssl-early-data": "false",
    }
    await served.serve(world(site("x.test"), services=ports(backends), config=config))
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", served.https)) as raw,
        context.wrap_socket(raw, server_hostname="x.test") as tls,
    ):
        name = (tls.cipher() or ("",))[0]
        assert (tls.version(), name.endswith("AES256-GCM-SHA384")) == ("TLSv1.2", True)
        assert tls.session is not None
        assert tls.session.has_ticket


async def test_paths_without_tls(served: Gateway, backends: dict[str, Backend]) -> None:
    """no-tls-redirect-locations are served plain; force-ssl-redirect holds for all others."""
    config = {"no-tls-redirect-locations": "/open", "force-ssl-redirect": "true"}
    objects = site("x.test", {}, ("/", "Prefix", "a"), ("/open", "Prefix", "b"))
    await served.serve(world(objects, services=ports(backends), config=config))
    assert await served.backend_of("x.test", "/open") == "b"
    assert await served.backend_of("x.test", "/") == 308


async def test_where_nginx_listens(served: Gateway, backends: dict[str, Backend]) -> None:
    """bind-address narrows the public listeners."""
    await served.serve(world(site("x.test"), services=ports(backends), config={"bind-address": "127.0.0.1"}))
    assert await served.backend_of("x.test") == "a"
    with pytest.raises(OSError):  # noqa: PT011
        socket.create_connection(("127.0.0.2", served.http), timeout=2)
    await served.serve(world(site("x.test"), services=ports(backends)))
    assert await served.backend_of("x.test") == "a"


async def test_passive_checks_for_all(served: Gateway, backends: dict[str, Backend]) -> None:
    """upstream-max-fails and upstream-fail-timeout rest failing endpoints of every Ingress, for each worker."""
    config = {"upstream-max-fails": "1", "upstream-fail-timeout": "60s", "proxy-next-upstream": "error http_500"}
    numbers = [backend.port for backend in backends.values()]
    here = site("x.test", {}, ("/", "Prefix", "all"))
    backends["b"].status = 500
    await served.serve(world(here, services={"all": numbers}, config=config))
    assert {await served.backend_of("x.test") for _ in range(30)} == {"a", "c"}
    assert len(backends["b"].seen) <= 2


async def test_what_annotations_may_say(served: Gateway, backends: dict[str, Backend]) -> None:
    """Annotations above the risk level or with a listed word have no effect; strict paths refuse odd characters."""
    config = {
        "annotations-risk-level": "Low",
        "annotation-value-word-blocklist": "forbidden",
        "strict-validate-path-type": "false",
    }
    objects = (
        site("risk.test", {"permanent-redirect": "https://a.test"}),
        site("word.test", {"x-forwarded-prefix": "/forbidden"}),
        site("path.test", {}, ("/a@b", "Prefix", "b")),
    )
    graph = await served.serve(world(*objects, services=ports(backends), config=config))
    assert (await served.get("risk.test")).status != 301
    assert {problem.ref.name for problem in graph.problems} >= {"risk.test", "word.test"}
    assert await served.backend_of("path.test", "/a@b") == "b"
    await served.serve(world(*objects, services=ports(backends)))
    assert (await served.get("risk.test")).status == 301
    assert await served.backend_of("path.test", "/a@b") == 404


TUNING = {
    "worker-cpu-affinity": "auto",
    "max-worker-open-files": "2048",
    "enable-multi-accept": "false",
    "enable-serial-reloads": "true",
    "reuse-port": "false",
    "disable-ipv6": "true",
    "server-name-hash-max-size": "2048",
    "server-name-hash-bucket-size": "64",
    "map-hash-bucket-size": "32",
    "proxy-headers-hash-max-size": "1024",
    "proxy-headers-hash-bucket-size": "32",
    "variables-hash-max-size": "4096",
    "variables-hash-bucket-size": "64",
    "http2-max-concurrent-streams": "64",
    "upstream-keepalive-timeout": "30",
    "upstream-keepalive-requests": "100",
    "upstream-keepalive-time": "10m",
    "proxy-busy-buffers-size": "4k",
    "error-log-path": "/var/log/nginx/error.log",
    "access-log-path": "/dev/stderr",
}


async def test_tuning_keys_are_taken(served: Gateway, backends: dict[str, Backend]) -> None:
    """Keys whose effect no single request shows still make a configuration that serves."""
    await served.serve(world(site("x.test"), services=ports(backends), config=TUNING))
    assert await served.backend_of("x.test") == "a"
    await served.serve(world(site("x.test"), services=ports(backends)))
    assert await served.backend_of("x.test") == "a"
