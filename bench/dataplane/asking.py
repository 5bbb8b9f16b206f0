"""Asks a gateway for hosts, quickly and again and again, until they answer as awaited."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable

EVERY = 0.002
_TIMEOUT = 5.0
OK = 200


class Client:
    """One kept-alive connection, made again when it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def status(self, host: str, path: str = "/") -> int:
        """Send a GET; returns the status, 0 when there is no answer."""
        for _ in range(2):  # a kept-alive connection may have been closed meanwhile
            fresh = self._streams is None
            try:
                async with asyncio.timeout(_TIMEOUT):
                    return await self._ask(host, path)
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
                self.close()
                if fresh:
                    break
        return 0

    async def _ask(self, host: str, path: str) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        if b"connection: close" in head:
            self.close()
        return int(head.split()[1])

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def answers(port: int, hosts: Iterable[str], *, within: float, every: float = EVERY) -> float:
    """Wait until each host has answered 200; returns the clock then, infinity when that didn't happen."""
    client = Client(port)
    ends = time.monotonic() + within
    try:
        for host in hosts:
            while await client.status(host) != OK:
                if time.monotonic() > ends:
                    return float("inf")
                await asyncio.sleep(every)
        return time.monotonic()
    finally:
        client.close()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
