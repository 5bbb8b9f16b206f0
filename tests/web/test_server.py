"""The HTTP server in front of the app: what it bounds before any of our code sees a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Request

from gateway_operator.web.server import make_server
from lab.control import free_ports

HEAD = b"POST / HTTP/1.1\r\nHost: a.example.com\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that tells how long a body was; yields its port."""
    app = FastAPI()

    @app.post("/")
    async def length(request: Request) -> int:
        return len(await request.body())

    (port,) = free_ports(1)
    server = make_server(app, ("127.0.0.1", port), None)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield port
    server.should_exit = True
    await running


async def said(port: int, *pieces: bytes) -> tuple[int, bytes]:
    """Send pieces that reach the server one by one; returns the status and the rest of what came until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.01)
    found = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return int(found.split(b" ", 2)[1]), found


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        pytest.param(HEAD + b"X: ", b"x" * 30_000, id="one header"),
        pytest.param(HEAD, b"X-Many: x\r\n" * 3_000, id="many headers"),
        pytest.param(b"GET /", b"x" * 30_000, id="path"),
        pytest.param(CHUNKED + b"X: ", b"x" * 30_000, id="trailer"),
        pytest.param(CHUNKED, b"X-Many: x\r\n" * 3_000, id="trailers"),
    ],
)
async def test_heads_and_trailers_are_bounded(begun: bytes, piece: bytes) -> None:
    """Nobody makes the server hold a head without an end: the connection ends with 400."""
    async with echo() as port:
        status, text = await said(port, begun, piece, piece, piece)
        assert (status, b"too large" in text) == (400, True)


async def test_bodies_are_no_heads() -> None:
    """A body may be larger than a head, in whatever pieces it comes, and requests may follow each other."""
    body = b"x" * 30_000
    head = HEAD + b"Content-Length: 120000\r\n\r\n"
    last = HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nab"
    async with echo() as port:
        status, text = await said(port, head[:9], head[9:], body, body, body, body, last)
        assert (status, text.count(b" 200 OK"), b"\r\n\r\n120000" in text) == (200, 2, True)


async def test_nonsense_is_400() -> None:
    """What is no HTTP ends the connection."""
    async with echo() as port:
        assert (await said(port, b"\x16\x03\x01 nonsense\r\n\r\n"))[0] == 400
        both = HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        assert (await said(port, both))[0] == 400
