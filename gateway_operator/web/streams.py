"""Answers that go on for long: whatever feeds one is closed the moment its client leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol, Self

from prometheus_client import Gauge
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

STREAMS = Gauge("gateway_api_streams", "Streams of logs and events that are open.")


class Source(Protocol):
    """What feeds a stream: an async generator, or anything that can be iterated and closed."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def __anext__(self) -> Awaitable[bytes]: ...

    def aclose(self) -> Awaitable[object]:
        """Let go of what is behind it."""
        ...


class Stream(StreamingResponse):
    """Sends what a source gives; the source is closed when the answer is over."""

    def __init__(self, chunks: Source, media_type: str, headers: dict[str, str] | None = None) -> None:
        kept = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}
        super().__init__(chunks, media_type=media_type, headers=kept)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer and close what feeds it, also when the client left before it began."""
        STREAMS.inc()
        try:
            await super().__call__(scope, receive, send)
        finally:
            STREAMS.dec()
            await self._chunks.aclose()


class Counted:
    """A source that holds `count` from its first moment until it is closed. Raises what entering `count` raises."""

    def __init__(self, source: Source, count: AbstractContextManager[None]) -> None:
        self._source = source
        self._held = ExitStack()
        self._held.enter_context(count)

    def __aiter__(self) -> Self:
        """Iterate over the chunks."""
        return self

    def __anext__(self) -> Awaitable[bytes]:
        """Return the next chunk."""
        return self._source.__anext__()

    async def aclose(self) -> None:
        """Close the source and give the place back."""
        self._held.close()
        await self._source.aclose()
