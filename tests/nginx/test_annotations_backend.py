"""Annotations about the connection to a backend and about its answers."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme

from tests.nginx.harness import Backend, Gateway, eventually, free_port, ports
from tests.nginx.objects import configmap, secret, site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


def tls_backend(authority: trustme.CA, clients: trustme.CA) -> Backend:
    """A backend with TLS that takes client certificates."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("backend.test").configure_cert(context)
    clients.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    return Backend("tls", context)


@pytest.fixture
async def tls(authority: trustme.CA) -> AsyncIterator[Backend]:
    """A backend with TLS whose certificate is for backend.test."""
    backend = tls_backend(authority, authority)
    await backend.start()
    yield backend
    await backend.stop()


async def test_tls_to_backends(
    served: Gateway, backends: dict[str, Backend], tls: Backend, authority: trustme.CA
) -> None:
    """HTTPS with and without a client's certificate; a name that doesn't fit and a stranger's authority give 502."""
    issued = authority.issue_cert("gateway.test", common_name="gateway")
    pair = b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()
    https = {"backend-protocol": "HTTPS"}
    mutual = https | {"proxy-ssl-secret": "client"}
    verified = mutual | {"proxy-ssl-verify": "on", "proxy-ssl-verify-depth": "2"}
    here = ("/", "Prefix", "tls")
    await served.serve(
        world(
            site("plain.test", https, here),
            site("mutual.test", mutual, here),
            site("good.test", verified | {"proxy-ssl-name": "backend.test", "proxy-ssl-server-name": "on"}, here),
            site("wrong.test", verified | {"proxy-ssl-name": "other.test"}, here),
            site("stranger.test", verified | {"proxy-ssl-secret": "strange", "proxy-ssl-name": "backend.test"}, here),
            site("old.test", https | {"proxy-ssl-protocols": "TLSv1.2", "proxy-ssl-ciphers": "HIGH"}, here),
            services=ports(backends) | {"tls": tls.port},
            secrets=[
                secret("client", *pair, ca_crt=authority.cert_pem.bytes()),
                secret("strange", *pair, ca_crt=trustme.CA().cert_pem.bytes()),
            ],
        )
    )
    for _ in range(2):  # kept-alive connections of one route must not serve another
        assert (await served.told("plain.test"))["client"] is None
        assert (await served.told("mutual.test"))["client"]["subject"]
        assert (await served.told("good.test"))["client"]["subject"]
        assert (await served.get("wrong.test")).status == 502
        assert (await served.get("stranger.test")).status == 502
        assert (await served.told("old.test"))["backend"] == "tls"


@pytest.fixture
def http2(nginx_binary: Path, tmp_path: Path, authority: trustme.CA) -> Iterator[tuple[int, int]]:
    """An nginx that speaks HTTP/2, plain on the first port and with TLS on the second."""
    plain, secure = free_port(), free_port()
    issued = authority.issue_cert("grpc.test")
    pem = tmp_path / "pair.pem"
    pem.write_bytes(b"".join(b.bytes() for b in issued.cert_chain_pems) + issued.private_key_pem.bytes())
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        f"""daemon off; pid {tmp_path}/pid; events {{}} error_log stderr; http {{
        access_log off; http2 on; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p;
        fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
        server {{ listen 127.0.0.1:{plain}; listen 127.0.0.1:{secure} ssl;
        ssl_certificate {pem}; ssl_certificate_key {pem}; default_type application/grpc;
        location / {{ return 200 "$server_protocol $https $host $request_uri"; }}
        location /missing {{ return 404; }} }} }}"""
    )
    process = subprocess.Popen([nginx_binary, "-p", tmp_path, "-c", conf], stderr=subprocess.DEVNULL)
    yield plain, secure
    process.terminate()
    process.wait(60)


async def test_grpc(served: Gateway, backends: dict[str, Backend], http2: tuple[int, int]) -> None:
    """gRPC goes to the backend as HTTP/2, plain and with TLS, with errors and time-outs as for others."""
    here = ("/", "Prefix", "plain")
    notes = {"backend-protocol": "GRPC", "proxy-read-timeout": "3", "proxy-body-size": "1k"}
    await served.serve(
        world(
            site("x.test", notes, here),
            site("y.test", {"backend-protocol": "GRPCS"}, ("/", "Prefix", "secure")),
            site("z.test", notes | {"custom-http-errors": "404", "default-backend": "b"}, here),
            services=ports(backends) | {"plain": http2[0], "secure": http2[1]},
        )
    )

    async def up() -> bool:
        return bool((await served.get("x.test")).status == 200)

    await eventually(up)
    assert await (await served.get("x.test", "/pkg.Svc/Call")).text() == "HTTP/2.0  x.test /pkg.Svc/Call"
    assert await (await served.get("y.test", "/c")).text() == "HTTP/2.0 on y.test /c"
    assert (await served.get("x.test", method="POST", data=b"x" * 2000)).status == 413
    assert json.loads(await (await served.get("z.test", "/missing")).text())["backend"] == "b"
    # the last one: this backend answers before it has read a body, and then resets the stream, which may hit who
    # has the connection next
    assert (await served.get("x.test", method="POST", data=b"x")).status == 200


async def test_error_pages(served: Gateway, backends: dict[str, Backend]) -> None:
    """Listed statuses are answered by the backend for errors, which is told what happened; others pass."""
    notes = {"custom-http-errors": "404,503", "default-backend": "b"}
    await served.serve(
        world(
            site("x.test", notes),
            site("off.test", notes | {"disable-proxy-intercept-errors": "true"}),
            site("empty.test", {"default-backend": "b"}, ("/", "Prefix", "empty")),
            services=ports(backends) | {"empty": None},
        )
    )
    answer = await served.get("x.test", "/p?status=404", method="POST", data=b"body", headers={"Accept": "text/x"})
    told = json.loads(await answer.text())
    assert told["backend"] == "b"
    names = ("X-Code", "X-Format", "X-Original-URI", "X-Namespace", "X-Ingress-Name", "X-Service-Name")
    assert [told["headers"].get(name) for name in names] == ["404", "text/x", "/p?status=404", "apps", "x.test", "a"]
    assert told["headers"]["X-Service-Port"] == "80"
    assert told["size"] == 0
    assert json.loads(await (await served.get("x.test", "/?status=500")).text())["backend"] == "a"
    assert json.loads(await (await served.get("off.test", "/?status=404")).text())["backend"] == "a"
    assert await served.backend_of("empty.test") == "b"


async def test_sizes_and_times(served: Gateway, backends: dict[str, Backend]) -> None:
    """Body limits and time-outs hold for the Ingress that sets them."""
    await served.serve(
        world(
            site("small.test", {"proxy-body-size": "1k"}),
            site("big.test", {"proxy-body-size": "0"}),
            site("hasty.test", {"proxy-read-timeout": "1", "proxy-next-upstream": "off"}),
            site("patient.test", {"proxy-read-timeout": "5", "proxy-send-timeout": "5", "proxy-connect-timeout": "2"}),
            services=ports(backends),
        )
    )
    assert (await served.get("small.test", method="POST", data=b"x" * 2000)).status == 413
    assert (await served.get("small.test", method="POST", data=b"x" * 500)).status == 200
    assert (await served.told("big.test", method="POST", data=io.BytesIO(b"x" * (3 << 20))))["size"] == 3 << 20
    hasty, patient = await asyncio.gather(
        served.get("hasty.test", "/?wait=2.5"), served.get("patient.test", "/?wait=2.5")
    )
    assert (hasty.status, patient.status) == (504, 200)


async def test_buffers_and_versions(served: Gateway, backends: dict[str, Backend]) -> None:
    """Values that only nginx's configuration takes: answers with large headers pass where buffers are large."""
    large = {"proxy-buffer-size": "32k", "proxy-buffers-number": "8", "proxy-busy-buffers-size": "64k"}
    rest = {
        "proxy-buffering": "on",
        "proxy-max-temp-file-size": "0",
        "proxy-request-buffering": "off",
        "client-body-buffer-size": "16k",
        "proxy-http-version": "1.0",
        "connection-proxy-header": "close",
    }
    await served.serve(
        world(site("x.test"), site("large.test", large), site("rest.test", rest), services=ports(backends))
    )
    path = f"/?h.X-Large={'x' * 3500}&h.Y-Large={'y' * 3500}"
    assert (await served.get("x.test", path)).status == 502
    assert (await served.get("large.test", path)).status == 200
    told = await served.told("rest.test", method="POST", data=b"x" * 100_000)
    assert (told["version"], told["headers"]["Connection"], told["size"]) == ("1.0", "close", 100_000)
    assert (await served.told("x.test"))["version"] == "1.1"


async def test_answers_are_changed(served: Gateway, backends: dict[str, Backend]) -> None:
    """Cookies and Location headers are rewritten as asked for."""
    notes = {
        "proxy-cookie-domain": "inner.test x.test",
        "proxy-cookie-path": "/inner /",
        "proxy-redirect-from": "http://inner.test/",
        "proxy-redirect-to": "https://x.test/",
    }
    await served.serve(world(site("x.test", notes), site("y.test"), services=ports(backends)))
    cookie = "c=1%3B%20Domain=inner.test%3B%20Path=/inner/p"
    path = f"/?h.Set-Cookie={cookie}&h.Location=http://inner.test/p&status=302"
    answer = await served.get("x.test", path)
    assert answer.headers["Location"] == "https://x.test/p"
    parts = {part.strip().lower() for part in answer.headers["Set-Cookie"].split(";")}
    assert {"domain=x.test", "path=//p"} <= parts or {"domain=x.test", "path=/p"} <= parts
    other = await served.get("y.test", path)
    assert other.headers["Location"] == "http://inner.test/p"
    assert "inner.test" in other.headers["Set-Cookie"]


async def test_headers_for_clients(served: Gateway, backends: dict[str, Backend]) -> None:
    """Typed headers instead of snippets, and upstream's custom-headers; both replace the backend's own."""
    text = 'X-One: a "quoted" value; b=1\nX-Two: two'
    await served.serve(
        world(
            site("x.test", {"gateway.kubesphere.io/response-headers": text}),
            site("y.test", {"custom-headers": "headers"}),
            services=ports(backends),
            configmaps=[configmap("headers", X_Allowed="yes", X_Denied="no")],
            config={"global-allowed-response-headers": "X-Allowed"},
        )
    )
    answer = await served.get("x.test", "/?h.X-Two=theirs&status=404")
    assert answer.headers.getall("X-Two") == ["two"]
    assert answer.headers["X-One"] == 'a "quoted" value; b=1'
    answer = await served.get("y.test")
    assert (answer.headers["X-Allowed"], "X-Denied" in answer.headers) == ("yes", False)


async def test_access_log_of_one_ingress(served: Gateway, backends: dict[str, Backend]) -> None:
    """enable-access-log: false silences the Ingress's own paths."""
    await served.serve(world(site("x.test", {"enable-access-log": "false"}), site("y.test"), services=ports(backends)))
    await served.get("x.test", f"/quiet-{served.renderer}")
    await served.get("y.test", f"/loud-{served.renderer}")
    await served.logged(f"/loud-{served.renderer}")
    assert f"/quiet-{served.renderer}" not in served.log()


async def test_which_failures_go_to_the_next(served: Gateway, backends: dict[str, Backend]) -> None:
    """Statuses that are listed are tried elsewhere as often as allowed; what isn't idempotent never is."""
    numbers = [backend.port for backend in backends.values()]
    next_one = {"proxy-next-upstream": "error http_503", "proxy-next-upstream-tries": "2"}
    here = ("/", "Prefix", "all")
    await served.serve(
        world(
            site("x.test", next_one | {"proxy-next-upstream-timeout": "5"}, here),
            site("y.test", {}, here),
            services={"all": numbers},
        )
    )

    async def asked(host: str, **kwargs: object) -> int:
        for backend in backends.values():
            backend.seen.clear()
        await served.get(host, "/?status=503", **kwargs)
        return sum(len(backend.seen) for backend in backends.values())

    assert await asked("x.test") == 2
    assert await asked("x.test", method="POST", data=b"x") == 1
    assert await asked("y.test") == 1


async def test_what_somebody_received_is_not_sent_again(served: Gateway) -> None:
    """A connection that ends, or says nothing for too long, after a POST has arrived: one error, no second POST."""
    received: list[str] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        received.append(head.split()[0])
        if "/slow" in head:
            await asyncio.sleep(2)
        writer.close()

    servers = [await asyncio.start_server(take, "127.0.0.1", 0) for _ in range(3)]
    numbers = [server.sockets[0].getsockname()[1] for server in servers]
    here = ("/", "Prefix", "all")
    await served.serve(world(site("x.test", {"proxy-read-timeout": "1"}, here), services={"all": numbers}))
    for method, path, status, times in (
        ("POST", "/", 502, 1),
        ("PATCH", "/slow", 504, 1),
        ("GET", "/", 502, 3),
        ("PUT", "/slow", 504, 3),
    ):
        received.clear()
        assert (await served.get("x.test", path, method=method)).status == status
        assert received == [method] * times
    await asyncio.sleep(2)
    for server in servers:
        server.close()
