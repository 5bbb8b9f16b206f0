"""What happens around every request: its size is limited, it is counted, and one line says who did what.

Plain ASGI, since the framework's own middleware would hold back a client's leaving from streams.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_operator.telemetry import get_logger
from gateway_operator.web.problems import Problem, ProblemResponse

audit = get_logger("gateway_operator.audit")
REQUESTS = Counter("gateway_api_requests", "Requests to the API.", ["method", "route", "code"])
SECONDS = Histogram("gateway_api_request_duration_seconds", "Time until an answer began.", ["method", "route"])
_UNLOGGED = frozenset({"/healthz", "/readyz"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TOO_BIG = "the body has more than {} bytes"
_CLOSED = 499  # the client left before there was an answer


class Around:
    """Wraps the app; `body_bytes` is the size that a body may have."""

    def __init__(self, app: ASGIApp, body_bytes: int) -> None:
        self._app = app
        self._body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = _Seen(scope, send)
        state = scope.setdefault("state", {})
        state["request_id"] = seen.id
        try:
            if _length(scope) > self._body_bytes:
                problem = Problem(413, "BodyTooLarge", _TOO_BIG.format(self._body_bytes))
                await ProblemResponse(problem)(scope, receive, seen.send)
            else:
                await self._app(scope, self._limited(receive), seen.send)
        finally:
            seen.finish()

    def _limited(self, receive: Receive) -> Receive:
        """Count a body whose length wasn't told."""
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._body_bytes:
                raise HTTPException(413, _TOO_BIG.format(self._body_bytes))
            return message

        return limited


class _Seen:
    """What is told of one request."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.id = secrets.token_hex(8)
        self._scope = scope
        self._send = send
        self._started = time.monotonic()
        self._first: float | None = None
        self._status = 0
        self._bytes = 0

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._first = time.monotonic() - self._started
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", self.id.encode())]}
        self._bytes += len(message.get("body", b""))
        await self._send(message)

    def finish(self) -> None:
        """Count the request and write its line: no query, no header, since they may hold what is private."""
        scope = self._scope
        status = self._status or _CLOSED
        route = getattr(scope.get("route"), "path", "") or "unknown"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        REQUESTS.labels(method, route, str(status)).inc()
        SECONDS.labels(method, route).observe(self._first or 0.0)
        if scope["path"] in _UNLOGGED:
            return
        state: dict[str, Any] = scope.get("state", {})
        audit.info(
            "request",
            id=self.id,
            subject=state.get("subject", ""),
            client=(scope.get("client") or ("",))[0],
            method=scope["method"],
            path=scope["path"],
            status=status,
            seconds=round(time.monotonic() - self._started, 4),
            bytes=self._bytes,
        )


def _length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0
