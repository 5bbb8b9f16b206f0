"""One router of the API behind its real HTTP server: what a client waits for, without the parts that aren't measured.

Server, event loop and what is around every request are those of `gateway-operator api`, but for the audit line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from gateway_operator.settings_api import LimitSettings
from gateway_operator.telemetry import setup_logging
from gateway_operator.web.middleware import Around
from gateway_operator.web.server import make_server
from lab.control import free_ports


@asynccontextmanager
async def serving(router: APIRouter, services: object) -> AsyncIterator[str]:
    """Serve a router over these services; yields the server's address."""
    setup_logging("warning", json=True)
    app = FastAPI(redirect_slashes=False)
    app.include_router(router)
    app.add_middleware(Around, body_bytes=LimitSettings().body_bytes)
    app.state.services = services
    (port,) = free_ports(1)
    http = make_server(app, ("127.0.0.1", port), None)
    running = asyncio.create_task(http.serve())
    while not http.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        http.should_exit = True
        await running
