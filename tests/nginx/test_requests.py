"""What happens to a request on its way: TLS, redirects, headers, sizes, WebSockets, logs."""

from __future__ import annotations

import itertools
import json
import re
import ssl

import aiohttp
import pytest
import trustme
from cryptography import x509

from gateway_operator.crds.config_types import LOCATION_VARIABLES, LOG_PREFIXES, NGINX_VARIABLES
from tests.nginx.harness import FAKE, Backend, Gateway, eventually, exchange, ports
from tests.nginx.objects import configmap, ingress, rule, secret, site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


def pair(authority: trustme.CA, *names: str) -> tuple[bytes, bytes]:
    issued = authority.issue_cert(*names)
    return b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()


def names_in(der: bytes) -> list[str]:
    value = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return value.get_values_for_type(x509.DNSName)


async def test_certificates_by_server_name(
    served: Gateway, backends: dict[str, Backend], authority: trustme.CA
) -> None:
    """Exact beats wildcard; a wrong, broken or missing certificate means the default one and a problem."""
    secrets = [
        secret("wild", *pair(authority, "*.x.test")),
        secret("one", *pair(authority, "one.x.test")),
        secret("wrong", *pair(authority, "else.test")),
        secret("broken", pair(authority, "broken.test")[0], pair(authority, "broken.test")[1]),
    ]
    hosts = ("one.x.test", "two.x.test", "wrong.test", "broken.test", "missing.test", "found.x.test")
    rules = [rule(host, ("/", "Prefix", "a")) for host in hosts]
    tls = [
        (["*.x.test"], "wild"),
        (["one.x.test"], "one"),
        (["wrong.test"], "wrong"),
        (["broken.test"], "broken"),
        (["missing.test"], "missing"),
    ]
    graph = await served.serve(
        world(ingress("tls", *rules, tls=tls), services={"a": backends["a"].port}, secrets=secrets)
    )
    shown = {host: names_in(served.certificate(host)) for host in (*hosts, "unknown.test")}
    assert shown == {
        "one.x.test": ["one.x.test"],
        "two.x.test": ["*.x.test"],
        "found.x.test": ["*.x.test"],
        "wrong.test": ["ingress.local"],
        "broken.test": ["ingress.local"],
        "missing.test": ["ingress.local"],
        "unknown.test": ["ingress.local"],
    }
    told = {(problem.ref.kind, problem.ref.name) for problem in graph.problems}
    assert told == {("Ingress", "tls"), ("Secret", "wrong"), ("Secret", "broken")}
    assert b"".join(p.message.encode() for p in graph.problems).count(b"PRIVATE") == 0


async def test_https_end_to_end(served: Gateway, backends: dict[str, Backend], authority: trustme.CA) -> None:
    """A verifying client gets an answer over TLS and HTTP/2 is offered; strict transport security is set."""
    snapshot = world(
        ingress("tls", rule("x.test", ("/", "Prefix", "a")), tls=[(["x.test"], "s")]),
        services={"a": backends["a"].port},
        secrets=[secret("s", *pair(authority, "x.test"))],
    )
    await served.serve(snapshot)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    url = f"https://127.0.0.1:{served.https}/"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, ssl=context, server_hostname="x.test", headers={"Host": "x.test"}) as answer,
    ):
        told = (await answer.json())["headers"]
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert (told["X-Forwarded-Proto"], told["X-Forwarded-Port"], told["Host"]) == ("https", "443", "x.test")


async def test_answers_without_a_backend_are_strict_too(
    served: Gateway, backends: dict[str, Backend], authority: trustme.CA
) -> None:
    """A host with TLS promises it on errors, too; a host without, and an answer without TLS, promise nothing."""
    snapshot = world(
        ingress("tls", rule("x.test", ("/a", "Prefix", "a")), tls=[(["x.test"], "s")]),
        ingress("plain", rule("y.test", ("/a", "Prefix", "a"))),
        services={"a": backends["a"].port},
        secrets=[secret("s", *pair(authority, "x.test"))],
        config={"block-user-agents": "Evil"},
    )
    await served.serve(snapshot)
    urls = {"tls": f"https://127.0.0.1:{served.https}", "plain": f"http://127.0.0.1:{served.http}"}
    asked = {404: ("/none", "Good"), 403: ("/a", "Evil")}
    found = {}
    async with aiohttp.ClientSession() as session:
        for way, host, (status, (path, agent)) in itertools.product(urls, ("x.test", "y.test"), asked.items()):
            headers = {"Host": host, "User-Agent": agent}
            async with session.get(urls[way] + path, ssl=False, headers=headers, allow_redirects=False) as answer:
                found[way, host, status] = (answer.status, "Strict-Transport-Security" in answer.headers)
    redirected = ("plain", "x.test", 403)
    assert found.pop(redirected)[1] is False
    assert found == {of: (of[2], of[:2] == ("tls", "x.test")) for of in found}


async def test_requests_without_a_host_header(served: Gateway, backends: dict[str, Backend]) -> None:
    """HTTP/1.0 may leave Host out: backends get the host of the request line; and the port that clients came to."""
    await served.serve(world(ingress("i", rule("x.test", ("/", "Prefix", "a"))), services={"a": backends["a"].port}))
    answer = await exchange(served.http, b"GET http://x.test/ HTTP/1.0\r\n\r\n")
    told = json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]
    assert (told["Host"], told["X-Forwarded-Host"]) == ("x.test", "x.test")
    assert told["X-Forwarded-Port"] == str(served.http)


async def test_tls_hosts_redirect(served: Gateway, backends: dict[str, Backend]) -> None:
    """A host with TLS redirects with 308; the annotation and ACME paths stay plain; force redirects without TLS."""
    snapshot = world(
        ingress(
            "tls",
            rule("x.test", ("/", "Prefix", "a"), ("/.well-known/acme-challenge/t", "Exact", "b")),
            tls=[(["x.test"], "")],
        ),
        ingress(
            "plain", rule("y.test", ("/", "Prefix", "a")), tls=[(["y.test"], "")], annotations={"ssl-redirect": "false"}
        ),
        ingress("force", rule("z.test", ("/", "Prefix", "a")), annotations={"force-ssl-redirect": "true"}),
        services={name: backend.port for name, backend in backends.items()},
    )
    await served.serve(snapshot)
    answer = await served.get("x.test:8080", "/p/q?a=b")
    assert (answer.status, answer.headers["Location"]) == (308, "https://x.test/p/q?a=b")
    assert (await served.get("x.test", headers={"X-Forwarded-Proto": "https"})).status == 308
    assert await served.backend_of("x.test", "/.well-known/acme-challenge/t") == "b"
    assert await served.backend_of("y.test") == "a"
    assert (await served.get("z.test")).status == 308


async def test_forwarded_headers_are_replaced(served: Gateway, backends: dict[str, Backend]) -> None:
    """What a client claims about itself doesn't reach the backend as the gateway's word."""
    await served.serve(world(ingress("one", rule("x.test", ("/", "Prefix", "a"))), services={"a": backends["a"].port}))
    lies = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.test",
        "Proxy": "http://evil.test",
        "X-Request-ID": "my-id",
    }
    told = (await (await served.get("x.test", headers=lies)).json())["headers"]
    assert told["X-Forwarded-For"] == told["X-Real-IP"] == "127.0.0.1"
    assert told["X-Original-Forwarded-For"] == "6.6.6.6"
    assert (told["X-Forwarded-Proto"], told["X-Scheme"], told["X-Forwarded-Scheme"]) == ("http", "http", "http")
    assert (told["Host"], told["X-Forwarded-Host"]) == ("x.test", "x.test")
    assert told["X-Forwarded-Port"] == str(served.http)
    assert "Proxy" not in told
    assert told["X-Request-ID"] == "my-id"
    assert len((await (await served.get("x.test")).json())["headers"]["X-Request-ID"]) == 32


async def test_request_ids(served: Gateway, backends: dict[str, Backend]) -> None:
    """Each request has 32 digits of its own, the same in the log as at the backend; also where nginx answers itself."""
    config = {"log-format-upstream": "id=$req_id status=$status"}
    await served.serve(world(site("x.test"), services=ports(backends), config=config))
    answers = [await served.told("x.test") for _ in range(300)]  # more than are made at a time
    ids = {answer["headers"]["X-Request-ID"] for answer in answers}
    assert len(ids) == 300
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    for one in ids:
        await served.logged(f"id={one} status=200")
    before = len(re.findall("id=[0-9a-f]{32} status=400", served.log()))
    assert b" 400 " in await exchange(served.http, b"GET nonsense HTTP/1.1\r\n\r\n")

    async def refused() -> bool:
        return len(re.findall("id=[0-9a-f]{32} status=400", served.log())) == before + 1

    await eventually(refused)


@pytest.mark.parametrize("where", ["log", "header"])
async def test_nginx_own_request_id_is_the_same_one(served: Gateway, backends: dict[str, Backend], where: str) -> None:
    """A log format or a header that has nginx's own variable says what the backend is told as X-Request-ID."""
    config = {"log-format-upstream": "own=$request_id" if where == "log" else "status=$status"}
    if where == "header":
        config["proxy-set-headers"] = "gw/set"
    maps = [configmap("set", "gw", **{"X-Own": "$request_id"})]
    await served.serve(world(site("x.test"), services=ports(backends), config=config, configmaps=maps))
    headers = (await served.told("x.test"))["headers"]
    if where == "header":
        assert headers["X-Own"] == headers["X-Request-ID"]
    else:
        await served.logged(f"own={headers['X-Request-ID']}")


async def test_forwarded_headers_of_trusted_peers_count(served: Gateway, backends: dict[str, Backend]) -> None:
    """With use-forwarded-headers the peer in front is believed, and only a peer of proxy-real-ip-cidr."""
    objects = ingress("one", rule("x.test", ("/", "Prefix", "a")), tls=[(["x.test"], "")])
    claims = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "front.test"}
    services = {"a": backends["a"].port}
    config = {"use-forwarded-headers": "true", "compute-full-forwarded-for": "true"}
    await served.serve(world(objects, services=services, config=config))
    answer = await served.get("x.test", headers=claims)
    assert answer.status == 200
    told = (await answer.json())["headers"]
    assert (told["X-Real-IP"], told["X-Forwarded-For"]) == ("6.6.6.6", "6.6.6.6, 127.0.0.1")
    assert (told["X-Forwarded-Host"], told["X-Forwarded-Proto"]) == ("front.test", "https")
    await served.serve(world(objects, services=services, config=config | {"proxy-real-ip-cidr": "10.0.0.0/8"}))
    assert (await served.get("x.test", headers=claims)).status == 308


async def test_websocket(served: Gateway, backends: dict[str, Backend]) -> None:
    """An upgraded connection carries messages both ways."""
    await served.serve(world(ingress("one", rule("x.test", ("/", "Prefix", "a"))), services={"a": backends["a"].port}))
    url = f"http://127.0.0.1:{served.http}/ws"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers={"Host": "x.test"}) as ws:
        await ws.send_str("hello")
        assert (await ws.receive()).data == "a:hello"


async def test_body_size_and_virtual_host(served: Gateway, backends: dict[str, Backend]) -> None:
    """The body limit of one Ingress holds for its routes only; upstream-vhost changes what the backend sees."""
    notes = {"proxy-body-size": "2k", "upstream-vhost": "svc.apps.svc.cluster.local"}
    snapshot = world(
        ingress("small", rule("x.test", ("/", "Prefix", "a")), annotations=notes),
        ingress("large", rule("y.test", ("/", "Prefix", "a"))),
        services={"a": backends["a"].port},
    )
    await served.serve(snapshot)
    body = b"x" * 4096
    assert (await served.get("x.test", method="POST", data=body)).status == 413
    assert (await (await served.get("y.test", method="POST", data=body)).json())["size"] == 4096
    told = (await (await served.get("x.test")).json())["headers"]
    assert (told["Host"], told["X-Forwarded-Host"]) == ("svc.apps.svc.cluster.local", "x.test")


async def test_access_log_is_json_when_asked(served: Gateway, backends: dict[str, Backend]) -> None:
    """Upstream's way to JSON logs works, with its variables, and a client can't break out of a string."""
    names = {"host": "host", "path": "location_path", "up": "proxy_upstream_name", "ns": "namespace"}
    fields = {key: f"${name}" for key, name in (names | {"agent": "http_user_agent"}).items()}
    log = json.dumps(fields, separators=(",", ":"))
    config = {"log-format-escape-json": "true", "log-format-upstream": log}
    await served.serve(
        world(ingress("one", rule("x.test", ("/p", "Prefix", "a"))), services={"a": backends["a"].port}, config=config)
    )
    await served.get("x.test", "/p", headers={"User-Agent": 'a"b\\c'})

    async def logged() -> bool:
        lines = [json.loads(line) for line in served.log().splitlines() if '"host":"x.test"' in line]
        return lines == [{"host": "x.test", "path": "/p", "up": "apps-a-80", "ns": "apps", "agent": 'a"b\\c'}]

    await eventually(logged)


async def test_every_variable_can_be_logged(served: Gateway, backends: dict[str, Backend]) -> None:
    """nginx knows each variable that a log format may have, upstream's names among them, for any kind of answer."""
    prefixed = {f"{prefix}name" for prefix in LOG_PREFIXES} | {"http_user_agent", "arg_q", "upstream_http_content_type"}
    names = sorted(NGINX_VARIABLES | LOCATION_VARIABLES | prefixed)
    config = {"log-format-escape-json": "true", "log-format-upstream": json.dumps({name: f"${name}" for name in names})}
    mark = f"/every-{served.renderer}"
    main = ingress("one", rule("x.test", (mark, "Prefix", "a")))
    away = ingress("two", rule("y.test", ("/", "Prefix", "a")), annotations={"permanent-redirect": "https://z.test"})
    services = {"a": backends["a"].port}
    await served.serve(world(main, away, services=services, config=config))
    for host in ("x.test", "y.test", "unknown.test"):
        await served.get(host, f"{mark}?q=7")

    async def logged() -> dict[str, dict[str, str]]:
        lines = [json.loads(line) for line in served.log().splitlines() if f'"uri": "{mark}"' in line]
        found = {line["host"]: line for line in lines}
        return found if len(found) == 3 else {}

    found = await eventually(logged)
    assert all(set(line) == set(names) for line in found.values())
    seen, sent = found["x.test"], found["y.test"]
    expected = {"namespace": "apps", "ingress_name": "one", "service_name": "a", "service_port": "80"}
    expected |= {"location_path": mark, "proxy_upstream_name": "apps-a-80", "arg_q": "7", "status": "200"}
    expected |= {"upstream_addr": f"127.0.0.1:{backends['a'].port}", "upstream_status": "200"}
    expected |= {"the_real_ip": "127.0.0.1", "best_http_host": "x.test", "pass_access_scheme": "http"}
    assert {name: seen[name] for name in expected} == expected
    assert len(seen["req_id"]) == 32
    assert (sent["ingress_name"], sent["status"], sent["upstream_addr"]) == ("two", "301", "")
    assert (found["unknown.test"]["ingress_name"], found["unknown.test"]["status"]) == ("", "404")


async def test_default_certificate_is_checked(served: Gateway) -> None:
    """The self-made certificate is what an unknown name gets."""
    await served.serve(world())
    assert x509.load_der_x509_certificate(served.certificate("any.test")) == x509.load_pem_x509_certificate(
        FAKE.certificate.pem
    )


async def test_every_honoured_config_key_is_taken(served: Gateway, backends: dict[str, Backend]) -> None:
    """A ConfigMap full of changed values still makes a configuration that serves."""
    config = {
        "use-gzip": "true",
        "gzip-types": "application/json text/html text/css",
        "server-tokens": "true",
        "use-http2": "false",
        "keep-alive": "10",
        "proxy-buffering": "on",
        "proxy-buffers-number": "8",
        "proxy-buffer-size": "8k",
        "client-header-buffer-size": "2k",
        "large-client-header-buffers": "8 16k",
        "upstream-keepalive-connections": "0",
        "worker-processes": "1",
        "max-worker-connections": "1024",
        "worker-shutdown-timeout": "5s",
        "ssl-protocols": "TLSv1.3",
        "http-redirect-code": "301",
        "hsts": "false",
        "ssl-reject-handshake": "true",
        "disable-access-log": "true",
        "error-log-level": "warn",
        "proxy-next-upstream": "error timeout http_502",
        "enable-real-ip": "true",
        "proxy-body-size": "0",
    }
    await served.serve(
        world(ingress("one", rule("x.test", ("/", "Prefix", "a"))), services={"a": backends["a"].port}, config=config)
    )
    answer = await served.get("x.test", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Server"].startswith("nginx/")
    with pytest.raises(ssl.SSLError):
        served.certificate("unknown.test")
