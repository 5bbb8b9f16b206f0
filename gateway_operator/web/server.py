"""The HTTP server: uvicorn, with the client's certificate handed to the app and an end that streams can't delay."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway_operator.errors import ConfigError

_GRACE_SECONDS = 5
_HEAD_BYTES = 65_536


class PeerProtocol(HttpToolsProtocol):
    """Tells the app of the certificate that the handshake verified, as `request.state.peer_certificate` (DER).

    The parser holds a head of any size, so bytes are counted until they make a whole head or a part of a body.
    """

    _held = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve a connection."""
        super().connection_made(transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        if certificate:
            self.app_state = {**self.app_state, "peer_certificate": certificate}

    def data_received(self, data: bytes) -> None:
        """Take what a client sent; too large a head, or trailer, ends the connection with 400."""
        self._held += len(data)
        super().data_received(data)
        if self._held > _HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        """Take a whole head."""
        self._held = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._held = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._held = 0
        super().on_message_complete()


class Server(uvicorn.Server):
    """A server that leaves signals to its program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def make_server(app: FastAPI, address: tuple[str | None, int], context: ssl.SSLContext | None) -> Server:
    """Make the server; nothing listens yet."""
    host, port = address
    options: dict[str, Any] = {"ssl_context_factory": lambda _config, _default: context} if context else {}
    return Server(
        uvicorn.Config(
            app,
            host=host or "",  # both families: asyncio makes sockets of "::" for IPv6 alone
            port=port,
            http=PeerProtocol,
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            **options,
        )
    )


async def serve(server: Server) -> None:
    """Serve until cancelled, then let answers end for some seconds. Raises ConfigError when a port is taken."""
    task = asyncio.create_task(server.serve(), name="http")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        server.should_exit = True
        await task
        raise
    except SystemExit as error:  # uvicorn's word for a port that is taken
        raise ConfigError(f"can't listen on {server.config.host}:{server.config.port}; set another one") from error
