"""Requests to a gateway over kept connections, each with who answered and how long it took; nothing is tried again.

Answers are those of the lab's echo application, which says in which cluster it runs. A plain client on streams, because
counting twenty thousand answers must not cost the machine more than giving them.
"""

import asyncio
import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

OK = 200
AT_ONCE = 32
PATIENCE = 10.0
_CLUSTER = re.compile(rb'"cluster":"([^"]*)"')
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Way:
    """The way to an application: a gateway's address and port, host and path, and more header lines."""

    address: str
    port: int
    host: str
    path: str = "/"
    headers: tuple[str, ...] = ()

    def request(self, method: str = "GET", body: bytes = b"") -> bytes:
        """The bytes of a request."""
        lines = [f"{method} {self.path} HTTP/1.1", f"Host: {self.host}", *self.headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Answer:
    """What became of a request: `sent` by the monotonic clock, `took` in seconds; status 0: there was no answer."""

    sent: float
    took: float
    status: int
    cluster: str = ""
    error: str = ""
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether it is as it should be."""
        return self.status == OK

    @property
    def giver(self) -> str:
        """The cluster that it came from; the error or status of one that isn't as it should be."""
        return self.cluster if self.ok else self.error or str(self.status)


class Client:
    """Asks over connections that it keeps, as many as are needed at once."""

    def __init__(self, way: Way, *, bodies: bool = False) -> None:
        """Ask nobody yet; answers have their bodies only when they are wanted."""
        self._way = way
        self._bodies = bodies
        self._idle: list[Streams] = []

    async def get(self) -> Answer:
        """Send one GET."""
        return await self.send(self._way.request())

    async def send(self, request: bytes) -> Answer:
        """Send one request; what goes wrong is in the answer."""
        sent = time.monotonic()
        streams: Streams | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                streams = await self._connection()
                status, body, goes_on = await _exchange(*streams, request)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            if streams:
                streams[1].close()
            return Answer(sent, time.monotonic() - sent, 0, error=f"{type(error).__name__}: {error}")
        if goes_on:
            self._idle.append(streams)
        else:
            streams[1].close()
        found = _CLUSTER.search(body)
        cluster = found[1].decode() if found else ""
        return Answer(sent, time.monotonic() - sent, status, cluster, body=body if self._bodies else b"")

    def close(self) -> None:
        """Close what is kept."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _connection(self) -> Streams:
        """A kept connection that its other end hasn't closed, or a new one."""
        while self._idle:
            streams = self._idle.pop()
            if not streams[0].at_eof():
                return streams
            streams[1].close()
        return await asyncio.open_connection(self._way.address, self._way.port)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection may be used again."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    goes_on = b"\r\nconnection: close" not in head
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if found:
        return status, await reader.readexactly(int(rest.split(b"\r\n", 1)[0])), goes_on
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return status, body, goes_on


def ask(way: Way, method: str = "GET", body: bytes = b"") -> Answer:
    """Send one request; the answer has its body."""
    return asyncio.run(_ask(way, method, body))


async def _ask(way: Way, method: str, body: bytes) -> Answer:
    client = Client(way, bodies=True)
    try:
        return await client.send(way.request(method, body))
    finally:
        client.close()


def count(way: Way, total: int) -> Counter[str]:
    """Send `total` requests as fast as they are answered, and count by cluster; failures by status or error."""
    return by_cluster(volley(way, total))


def volley(way: Way, total: int) -> list[Answer]:
    """Send `total` requests as fast as they are answered."""
    return asyncio.run(_volley(way, total))


async def _volley(way: Way, total: int) -> list[Answer]:
    numbers = iter(range(total))
    client = Client(way)

    async def one_after_the_other() -> list[Answer]:
        return [await client.get() for _ in numbers]

    found = await asyncio.gather(*(one_after_the_other() for _ in range(min(AT_ONCE, total))))
    client.close()
    return [answer for some in found for answer in some]


class Steady:
    """GET requests at a steady rate, whatever becomes of those before; `answers` grows while they flow."""

    def __init__(self, way: Way, rate: float) -> None:
        """Describe `rate` requests a second."""
        self.answers: list[Answer] = []
        self._way = way
        self._rate = rate
        self._ends = threading.Event()

    @contextlib.contextmanager
    def flowing(self) -> Iterator[None]:
        """Send for as long as the block; those under way are awaited."""
        thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        thread.start()
        try:
            yield
        finally:
            self._ends.set()
            thread.join()

    def between(self, begin: float, end: float) -> list[Answer]:
        """The answers to what was sent in that time, by the monotonic clock."""
        return [answer for answer in tuple(self.answers) if begin <= answer.sent < end]

    async def _run(self) -> None:
        client, begun, number = Client(self._way), time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while not self._ends.is_set():
                group.create_task(self._one(client))
                number += 1
                await asyncio.sleep(begun + number / self._rate - time.monotonic())
        client.close()

    async def _one(self, client: Client) -> None:
        self.answers.append(await client.get())


def by_cluster(answers: Iterable[Answer]) -> Counter[str]:
    """Count answers by who gave them, those that aren't good by what they are."""
    return Counter(answer.giver for answer in answers)
