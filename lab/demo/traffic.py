"""Real requests through a gateway's node port, counted by the backend that answered."""

import asyncio
import time
from dataclasses import dataclass

import aiohttp

from lab.demo.report import Requests
from lab.demo.tally import Tally

PATH = "/demo"
_OK = 200
_AT_ONCE = 10


@dataclass(frozen=True)
class Route:
    """One way in: what it is called, node port, host, and the project that must answer; `tls` asks by SNI.

    `through` is the Gateway's name, under which a tally counts.
    """

    gateway: str
    port: int
    host: str
    project: str
    tls: bool = False
    through: str = ""


@dataclass(frozen=True)
class _Reply:
    route: Route
    took: float
    status: int = 0
    namespace: str = ""
    pod: str = ""

    @property
    def right(self) -> bool:
        return self.namespace == self.route.project


def send(node_ip: str, routes: list[Route], count: int, tally: Tally | None = None) -> Requests:
    """Send `count` requests over every route and count the answers."""
    replies = asyncio.run(_send(node_ip, routes, count))
    result = Requests(sent=len(replies))
    for reply in replies:
        if tally is not None:
            tally.add(reply.route.through, reply.route.host, PATH, [(reply.status, reply.took)])
        if reply.right:
            result.ok += 1
            backend = f"{reply.route.gateway} -> {reply.namespace}/{reply.pod}"
            result.by_backend[backend] = result.by_backend.get(backend, 0) + 1
    return result


def answers(node_ip: str, route: Route, tally: Tally | None = None) -> bool:
    """Tell whether one request is answered by the right backend now."""
    return send(node_ip, [route], 1, tally).ok == 1


async def _send(node_ip: str, routes: list[Route], count: int) -> list[_Reply]:
    gate = asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:

        async def one(route: Route) -> _Reply:
            async with gate:
                return await _ask(session, node_ip, route)

        return await asyncio.gather(*(one(route) for route in routes for _ in range(count)))


async def _ask(session: aiohttp.ClientSession, node_ip: str, route: Route) -> _Reply:
    """Send one request; the reply names nobody unless a backend answered. Certificates are self-signed."""
    url = f"{'https' if route.tls else 'http'}://{node_ip}:{route.port}{PATH}"
    began, status = time.monotonic(), 0
    try:
        async with session.get(
            url, headers={"Host": route.host}, ssl=False, server_hostname=route.host if route.tls else None
        ) as answer:
            status = answer.status
            if status == _OK:
                body = await answer.json()
                return _Reply(route, time.monotonic() - began, status, str(body["namespace"]), str(body["pod"]))
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
        pass
    return _Reply(route, time.monotonic() - began, status)
