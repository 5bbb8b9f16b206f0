"""Requests without a pause, so that a test can say that none failed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

import aiohttp


class Stream:
    """One request after the other, each over a connection of its own; with `kept`, all over one that is kept."""

    def __init__(self, url: str, host: str, *, kept: bool = False) -> None:
        self.url, self.host, self.kept = url, host, kept
        self.answers: Counter[str] = Counter()
        self._ends = threading.Event()

    @contextlib.contextmanager
    def flowing(self) -> Iterator[Counter[str]]:
        """Send for as long as the block; yields how often there was each status or error."""
        thread = threading.Thread(target=lambda: asyncio.run(self._send()))
        thread.start()
        try:
            yield self.answers
        finally:
            self._ends.set()
            thread.join()

    async def _send(self) -> None:
        tls = self.url.startswith("https")
        connector = aiohttp.TCPConnector(force_close=not self.kept)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
            while not self._ends.is_set():
                try:
                    async with session.get(
                        self.url, headers={"Host": self.host}, ssl=False, server_hostname=self.host if tls else None
                    ) as answer:
                        await answer.read()
                        self.answers[str(answer.status)] += 1
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    self.answers[f"{type(error).__name__}: {error}"] += 1
                await asyncio.sleep(0.01)
