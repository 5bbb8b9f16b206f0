"""A client that keeps its connections and hides nothing: no retries, so that every loss is seen."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections import Counter
from collections.abc import Iterator

CONNECTIONS = 16
PAUSE = 0.02
PATIENCE = 30.0  # a machine that is busy answers late; what is lost isn't answered at all
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Kept:
    """Requests over kept connections, half of them TLS, and beside them requests on new connections.

    `answers` counts statuses, `failures` all that was no 200. A connection that the server ended in order (it said
    `Connection: close`, or closed it while nothing was under way) is replaced; one that ends under a request is a
    failure.
    """

    def __init__(self, address: str, http: int, https: int, host: str) -> None:
        self._address, self._http, self._https, self._host = address, http, https, host
        self.answers: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._ends = threading.Event()

    @contextlib.contextmanager
    def flowing(self) -> Iterator[None]:
        """Send for as long as the block."""
        thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        thread.start()
        try:
            yield
        finally:
            self._ends.set()
            thread.join()

    async def _run(self) -> None:
        kept = [self._client(tls=bool(n % 2), keep=True) for n in range(CONNECTIONS)]
        await asyncio.gather(*kept, self._client(tls=False, keep=False), self._client(tls=True, keep=False))

    async def _client(self, *, tls: bool, keep: bool) -> None:
        streams: Streams | None = None
        while not self._ends.is_set():
            if streams and streams[0].at_eof():
                await _closed(streams)
                streams = None
            try:
                async with asyncio.timeout(PATIENCE):
                    streams = streams or await self._connect(tls=tls)
                    goes_on = await self._ask(*streams, keep=keep)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                self.failures[f"{type(error).__name__}: {error}"] += 1
                goes_on = False
            if not goes_on:
                await _closed(streams)
                streams = None
            await asyncio.sleep(PAUSE)
        await _closed(streams)

    async def _connect(self, *, tls: bool) -> Streams:
        if not tls:
            return await asyncio.open_connection(self._address, self._http)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return await asyncio.open_connection(self._address, self._https, ssl=context, server_hostname=self._host)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool) -> bool:
        """Send one request; returns whether the connection may be used again."""
        wish = "keep-alive" if keep else "close"
        writer.write(f"GET /demo HTTP/1.1\r\nHost: {self._host}\r\nConnection: {wish}\r\n\r\n".encode())
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.lower().split("\r\n")
        status = lines[0].split()[1]
        length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), None)
        if length is None:
            await self._chunks(reader)
        else:
            await reader.readexactly(length)
        self.answers[status] += 1
        if status != "200":
            self.failures[status] += 1
        return keep and "connection: close" not in lines

    async def _chunks(self, reader: asyncio.StreamReader) -> None:
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")


async def _closed(streams: Streams | None) -> None:
    """Close a connection, whatever its other end says."""
    if streams:
        streams[1].close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await streams[1].wait_closed()
