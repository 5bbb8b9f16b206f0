"""Talks to the running nginx about its data, over the unix socket that only this pod's containers reach.

Whatever can go wrong has a type, because each asks for something else: wait, load everything, or make room.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_operator.errors import GatewayOperatorError

ANSWER_WITHIN = 10.0
_STALE, _FULL, _SERVER_ERROR = 409, 507, 500
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class DataError(GatewayOperatorError):
    """nginx did not take data."""


class Away(DataError):
    """nginx doesn't answer on its data socket: it starts, or its configuration has none."""


class Stale(DataError):
    """nginx has another version than the update starts from; nothing was set."""

    def __init__(self, version: int) -> None:
        super().__init__(f"nginx has version {version} of the data")
        self.version = version


class Full(DataError):
    """nginx's memory for data has no room for an entry; what came before it in the request is set."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no memory for {key}")
        self.key = key


@dataclass(frozen=True)
class DataStatus:
    """What nginx has. `version` is 0 and `digest` "" before the first load; `free` and `capacity` are bytes."""

    version: int
    digest: str
    keys: int = 0
    free: int = 0
    capacity: int = 0


class DataSocket:
    """A client of `<run_dir>/data.sock`; each request has a connection of its own, since workers come and go."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def status(self) -> DataStatus:
        """Ask what nginx has. Away when it doesn't answer."""
        reply = await self._request("GET")
        keys, free, capacity = (int(reply.get(name) or 0) for name in ("keys", "free", "capacity"))
        return DataStatus(int(reply.get("version") or 0), str(reply.get("digest") or ""), keys, free, capacity)

    async def send(self, body: bytes, *, start: int | str, load: str = "") -> int:
        """Send records and return nginx's version then; `start` is the version before, `load` names a full load.

        Raises Away, Stale or Full.
        """
        headers = {"X-Data-From": str(start), "Content-Type": "application/octet-stream"}
        if load:
            headers["X-Data-Load"] = load
        return int((await self._request("POST", body, headers)).get("version") or 0)

    async def _request(self, method: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Any:
        """HTTP/1.0, whose answers end with the connection: an HTTP client costs more than the rest of an update."""
        named = {"Host": "nginx", "Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    writer.write(f"{method} /data HTTP/1.0\r\n{head}\r\n".encode() + body)
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise Away(f"nginx's data socket doesn't answer: {error or type(error).__name__}") from error
        return _judge(*_parsed(answer))


def _parsed(answer: bytes) -> tuple[int, bytes]:
    """Return status and body of an answer; Away where it isn't whole."""
    head, _, body = answer.partition(b"\r\n\r\n")
    words, length = head.split(maxsplit=2), _LENGTH.search(head)
    if len(words) < 2 or not words[1].isdigit() or (length and int(length[1]) > len(body)):  # noqa: PLR2004
        raise Away("nginx's data socket breaks off")
    return int(words[1]), body


def _judge(status: int, body: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(body)
    except ValueError:
        reply = {}
    if not isinstance(reply, dict):
        reply = {}
    if status == _STALE:
        raise Stale(int(reply.get("version") or 0))
    if status == _FULL:
        raise Full(str(reply.get("key") or ""))
    if status >= _SERVER_ERROR:
        raise Away(f"nginx's data socket answers {status}")
    if status != 200:  # noqa: PLR2004
        raise DataError(f"nginx refuses an update with {status}: {body[:200].decode(errors='replace')}")
    return reply
