"""The HTTP server: uvicorn, with the client's certificate handed to the app and an end that streams can't delay."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway_operator.errors import ConfigError

_GRACE_SECONDS = 5
_HEAD_BYTES = 65_536


class PeerProtocol(H11Protocol):
    """Tells the app of the certificate that the handshake verified, as `request.state.peer_certificate` (DER)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve a connection."""
        super().connection_made(transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        if certificate:
            self.app_state = {**self.app_state, "peer_certificate": certificate}


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
            h11_max_incomplete_event_size=_HEAD_BYTES,
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
