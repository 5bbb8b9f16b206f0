"""A Prometheus that is down, slow, broken or picky: said clearly and in time, for each metric where some can be had."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web

from gateway_operator.observe.errors import BackendDown, BackendTimeout, BadQuery
from gateway_operator.observe.metrics import Asked, Metrics, as_json, read
from gateway_operator.observe.prometheus import Instant, Prometheus
from gateway_operator.observe.tenant import Tenant
from lab.control import free_ports
from lab.servers import prometheus as lab
from tests.observe.metrics.traffic import Gateway, settings_of, values

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TENANT = Tenant.project("shop", "g", "gateways")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def speaking(talk: Talk) -> AsyncIterator[str]:
    """A server that says what `talk` writes after each request's head, whatever was asked."""
    open_ones: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await talk(reader, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            open_ones.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in list(open_ones):
            writer.transport.abort()


async def outcome(url: str, **more: Any) -> Exception:
    """The error of a whole question."""
    client = Prometheus(settings_of(url, **{"timeout": 0.6, **more}))
    try:
        with pytest.raises((BackendDown, BadQuery)) as caught:
            await Metrics(client, settings_of(url)).ask(read(Asked(), time.time()), TENANT)
    finally:
        await client.close()
    assert url.partition("//")[2] not in str(caught.value)
    return caught.value


async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n")
    for _ in range(300):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)


async def break_off(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b'Content-Length: 500\r\n\r\n{"status":"success","data":')
    await writer.drain()
    writer.close()


def saying(body: bytes, status: str = "200 OK", more: str = "") -> Talk:
    """Answer with this."""

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}Connection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    return talk


async def test_down() -> None:
    """Nobody listens: BackendDown, without its address."""
    found = await outcome(f"http://127.0.0.1:{free_ports(1)[0]}")
    assert str(found) == "prometheus: it can't be reached"


@pytest.mark.parametrize("talk", [hang, drip])
async def test_slow(talk: Talk) -> None:
    """Silence and single bytes end in a timeout; the event loop goes on meanwhile, and so does the next question."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    async with speaking(talk) as url:
        assert isinstance(await outcome(url), BackendTimeout)
    ticking.cancel()
    assert ticks > 2  # of a loop that is held up there is one at most


@pytest.mark.parametrize(
    ("talk", "text"),
    [
        (break_off, "breaks off"),
        (saying(b"<html>"), "isn't that of Prometheus"),
        (saying(b'{"status":"success"}'), "isn't that of Prometheus"),
        (saying(b'{"data":{"result":[{"metric":{},"value":"x"}]}}'), "isn't that of Prometheus"),
        (saying(b'{"data":{"result":{}}}'), "isn't that of Prometheus"),
        (saying(b"boom", "500 Internal Server Error"), "answers 500"),
        (saying(b"", "302 Found", "Location: http://127.0.0.1:1/\r\n"), "answers 302"),
        (saying(b"", "401 Unauthorized"), "refuses our credentials"),
        (saying(b" " * 100_000), "more than"),
    ],
)
async def test_broken(talk: Talk, text: str) -> None:
    """Half answers, wrong answers, refusals, redirects and floods are told apart."""
    async with speaking(talk) as url:
        found = await outcome(url, answer_bytes=65536, timeout=20)
    assert isinstance(found, BackendDown)
    assert not isinstance(found, BackendTimeout)
    assert text in str(found)


@asynccontextmanager
async def proxied(to: str, answer: Callable[[str], int], **site: Any) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A real Prometheus behind a proxy that answers some queries with another status."""
    seen: list[web.Request] = []

    async def forward(request: web.Request) -> web.Response:
        form = dict(await request.post())
        seen.append(request)
        status = answer(str(form["query"]))
        if status != 200:
            return web.Response(status=status)
        async with aiohttp.ClientSession() as session, session.post(to + request.path, data=form) as found:
            return web.Response(body=await found.read(), status=found.status, content_type="application/json")

    app = web.Application()
    app.router.add_post("/{path:.*}", forward)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_ports(1)[0]
    await web.TCPSite(runner, "127.0.0.1", port, **site).start()
    try:
        yield f"http{'s' if site else ''}://localhost:{port}", seen
    finally:
        await runner.cleanup()


async def test_half_of_it(prometheus_server: lab.Prometheus, shared: Gateway, shop: Tenant, end: float) -> None:
    """Where some queries fail, those metrics say so and the others hold; nothing of a query lies in a URL."""
    async with proxied(prometheus_server.url, lambda text: 500 if "quantile" in text else 200) as (url, seen):
        client = Prometheus(settings_of(url))
        query = read(Asked(time=str(end)), time.time())
        answer = as_json(await Metrics(client, settings_of(url)).ask(query, shop), is_range=False)
        await client.close()
    errors = {result["metric_name"] for result in answer["results"] if "error" in result}
    assert errors == {f"ingress_request_duration_{percent}percentage" for percent in (50, 95, 99)}
    found = values(answer)
    assert found["ingress_request_count"] > 0
    assert not any(request.query_string for request in seen)


async def test_stuck_ones_give_way(prometheus_server: lab.Prometheus) -> None:
    """Questions that hang take nothing from those after them once their time is over."""
    stuck = True

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if stuck:
            await hang(reader, writer)
        await saying(b'{"status":"success","data":{"resultType":"vector","result":[]}}')(reader, writer)

    async with speaking(talk) as url:
        client = Prometheus(settings_of(url, timeout=0.6, connections=2))
        hung = await asyncio.gather(
            *(client.query("vector(1)", Instant(1.0)) for _ in range(12)), return_exceptions=True
        )
        assert all(isinstance(one, BackendTimeout) for one in hung)
        stuck = False
        patient = Prometheus(settings_of(url, timeout=20, connections=2))
        assert await patient.query("vector(1)", Instant(1.0)) == []

        async def again() -> None:
            while True:
                try:
                    assert await client.query("vector(1)", Instant(1.0)) == []
                except BackendTimeout:
                    continue
                return

        async with asyncio.timeout(60):
            await again()
        await client.close()
        await patient.close()


async def test_certificates_and_credentials(prometheus_server: lab.Prometheus, tmp_path: Path) -> None:
    """The certificate is checked; token or password come from files that are read each time."""
    authority, other = trustme.CA(), trustme.CA()
    for name, one in (("ca.pem", authority), ("other.pem", other)):
        one.cert_pem.write_to_path(tmp_path / name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    token, password = tmp_path / "token", tmp_path / "password"
    token.write_text("one\n")
    password.write_text("secret\n")
    async with proxied(prometheus_server.url, lambda _: 200, ssl_context=context) as (url, seen):

        async def header(**more: Any) -> str:
            client = Prometheus(settings_of(url, **more))
            try:
                await client.check()
            finally:
                await client.close()
            return seen[-1].headers.get("Authorization", "")

        trusted = {"ca_file": tmp_path / "ca.pem"}
        assert await header(**trusted) == ""
        assert await header(**trusted, bearer_token_file=token) == "Bearer one"
        token.write_text("two")
        assert await header(**trusted, bearer_token_file=token) == "Bearer two"
        basic = await header(**trusted, username="me", password_file=password)
        assert base64.b64decode(basic.removeprefix("Basic ")) == b"me:secret"
        for untrusted in ({"ca_file": tmp_path / "other.pem"}, {}):
            with pytest.raises(BackendDown, match="certificate isn't trusted"):
                await header(**untrusted)
        with pytest.raises(BackendDown, match="credentials can't be read"):
            await header(**trusted, bearer_token_file=tmp_path / "gone")


async def test_what_only_prometheus_can_judge(prometheus_server: lab.Prometheus, shared: Gateway, shop: Tenant) -> None:
    """An expression that it refuses is our client's mistake, not its failure."""
    client = Prometheus(settings_of(prometheus_server.url))
    query = read(Asked(resources_filter="a{1,5000}"), time.time())
    with pytest.raises(BadQuery):
        await Metrics(client, settings_of(prometheus_server.url)).ask(query, shop)
    await client.close()
