"""JSON lines over a unix socket: how the supervisor is spoken to. Standard library only, like the supervisor itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any


class Refused(Exception):
    """A command that can't be done; the reply is for the controller."""

    def __init__(self, stage: str, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.reply = {"ok": False, "stage": stage, "error": message, "stderr": stderr}


async def listen(path: Path, answer: Callable[[Any], Awaitable[dict[str, Any]]]) -> asyncio.AbstractServer:
    """Serve commands on a socket that the group may use; `answer` raises Refused."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                try:
                    reply = await answer(json.loads(line))
                except Refused as refused:
                    reply = refused.reply
                except json.JSONDecodeError:
                    reply = Refused("command", "no JSON").reply
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        writer.close()

    path.unlink(missing_ok=True)  # noqa: ASYNC240
    server = await asyncio.start_unix_server(serve, path, limit=65536)
    path.chmod(0o660)  # noqa: ASYNC240
    return server


def ask(path: Path, request: dict[str, Any], *, seconds: float = 2.0) -> dict[str, Any]:
    """Send one command and return the reply; OSError or ValueError when there is none."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(seconds)
        client.connect(str(path))
        client.sendall(json.dumps(request).encode() + b"\n")
        reply = json.loads(client.makefile().readline())
    return reply if isinstance(reply, dict) else {}
