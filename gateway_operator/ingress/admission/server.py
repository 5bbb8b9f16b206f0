"""The webhook's port: it reads little, for a short time, from few at once, and always answers.

Anybody in the cluster can reach it, so size, time and number are bounded before anything is parsed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway_operator.ingress.admission.judge import Judge, Verdict
from gateway_operator.ingress.admission.review import BadReview, Review, answer, read_review
from gateway_operator.ingress.admission.serving import ServingContext
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

PATH = "/networking/v1/ingresses"
HANDSHAKE_SECONDS = 2.0
Observe = Callable[[str, float], None]
Checked = Callable[[Mapping[str, Any], Verdict], None]


@dataclass(frozen=True)
class Limits:
    """Bytes of a body (an Ingress and its old form), seconds of a whole review, reviews at once, and connections."""

    body: int = 4 << 20
    seconds: float = 2.0
    at_once: int = 16
    connections: int = 256


class AdmissionServer:
    """Answers reviews; `make_judge` gives each a judge that knows what the cluster is like at that moment.

    `observe` gets allowed, denied or failed, and the seconds taken; `checked` each Ingress of ours that was judged.
    """

    def __init__(
        self,
        make_judge: Callable[[], Judge],
        observe: Observe,
        limits: Limits | None = None,
        *,
        checked: Checked = lambda _obj, _verdict: None,
    ) -> None:
        self._make_judge = make_judge
        self._observe = observe
        self._checked = checked
        self._limits = limits = limits or Limits()
        self.listening = asyncio.Event()
        self._places = asyncio.Semaphore(limits.at_once)
        self.app = web.Application(client_max_size=limits.body)
        self.app.router.add_post(PATH, self._review)

    async def listen(self, host: str | None, port: int, serving: ServingContext) -> None:
        """Wait for a certificate, then listen until cancelled. Raises OSError when the port can't be opened."""
        await serving.ready.wait()
        runner = web.AppRunner(self.app, access_log=None, lingering_time=0.0, shutdown_timeout=self._limits.seconds)
        await runner.setup()
        web_server = runner.server
        assert web_server is not None  # noqa: S101  (set up just now)

        def connection() -> asyncio.BaseProtocol:
            return web_server() if len(web_server.connections) < self._limits.connections else _Full()

        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                connection, host, port, ssl=serving.context, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
            log.info("the webhook listens", port=port)
            self.listening.set()
            try:
                await asyncio.Event().wait()
            finally:
                server.close()
        finally:
            await runner.cleanup()

    async def _review(self, request: web.Request) -> web.Response:
        began = time.monotonic()
        outcome = "failed"
        try:
            async with asyncio.timeout(self._limits.seconds), self._places:
                review = read_review(await request.read())
                verdict = await self._verdict(review)
            outcome = "allowed" if verdict.allowed else "denied"
            if verdict.checked and review.new is not None:
                self._checked(review.new, verdict)
            return web.json_response(answer(review.uid, verdict))
        except web.HTTPRequestEntityTooLarge:
            return _refuse(413, f"the body is larger than {self._limits.body} bytes")
        except BadReview as error:
            return _refuse(400, str(error))
        except TimeoutError:
            return _refuse(408, f"the review took longer than {self._limits.seconds:g} s")
        finally:
            self._observe(outcome, time.monotonic() - began)

    async def _verdict(self, review: Review) -> Verdict:
        if review.new is None:
            return Verdict(allowed=True)
        try:
            # in a thread: a big Ingress must not hold up the controller's other work
            return await asyncio.to_thread(self._make_judge().judge, review.new, review.old)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            log.warning("a review holds something that is no Ingress", error=type(error).__name__)
            raise BadReview("the request's object doesn't have the form of an Ingress") from error


class _Full(asyncio.Protocol):
    """Ends a connection that is one too many: the controller needs its file descriptors for other work."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (narrows a type)
        transport.abort()


def _refuse(status: int, text: str) -> web.Response:
    """Answer in words and end the connection, on which a rest of the body may still come."""
    response = web.Response(status=status, text=f"{text}\n")
    response.force_close()
    return response
