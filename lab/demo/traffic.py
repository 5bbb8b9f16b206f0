"""Real requests through a gateway's node port, counted by the backend that answered."""

import asyncio
from dataclasses import dataclass

import aiohttp

from lab.demo.report import Requests

_AT_ONCE = 10


@dataclass(frozen=True)
class Route:
    """One way in: node port, host, and the project that must answer; `tls` asks by SNI."""

    gateway: str
    port: int
    host: str
    project: str
    tls: bool = False


def send(node_ip: str, routes: list[Route], count: int) -> Requests:
    """Send `count` requests over every route and count the answers."""
    return asyncio.run(_send(node_ip, routes, count))


def answers(node_ip: str, route: Route) -> bool:
    """Tell whether one request is answered by the right backend now."""
    return send(node_ip, [route], 1).ok == 1


async def _send(node_ip: str, routes: list[Route], count: int) -> Requests:
    result = Requests()
    gate = asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:

        async def one(route: Route) -> None:
            async with gate:
                namespace, pod = await _ask(session, node_ip, route)
            result.sent += 1
            if namespace == route.project:
                result.ok += 1
                backend = f"{route.gateway} -> {namespace}/{pod}"
                result.by_backend[backend] = result.by_backend.get(backend, 0) + 1

        await asyncio.gather(*(one(route) for route in routes for _ in range(count)))
    return result


async def _ask(session: aiohttp.ClientSession, node_ip: str, route: Route) -> tuple[str, str]:
    """(namespace, pod) that answered; empty when the answer was none or an error. Certificates are self-signed."""
    url = f"{'https' if route.tls else 'http'}://{node_ip}:{route.port}/demo"
    try:
        async with session.get(
            url, headers={"Host": route.host}, ssl=False, server_hostname=route.host if route.tls else None
        ) as answer:
            if answer.status != 200:  # noqa: PLR2004
                return "", ""
            body = await answer.json()
            return str(body["namespace"]), str(body["pod"])
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
        return "", ""
