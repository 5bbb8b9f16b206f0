"""How long does the validating webhook take for a new Ingress, when there are many already?

Reviews are sent as the API server sends them, over one kept-alive TLS connection and then over several at once.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from functools import partial
from typing import Any

import aiohttp

from bench.dataplane.gateways import running
from bench.dataplane.setup import Setup
from bench.dataplane.sites import NAMESPACE, Site, ingress, sites
from bench.engine.world import eventually, together
from bench.parts import tell
from bench.results import Part, Row, row
from bench.stats import percentile
from lab.errors import LabError

_MARK = 0.100
_AT_ONCE = 16
_PATH = "/networking/v1/ingresses"
_TARGET = Site(0)


async def measure(setup: Setup) -> Part:
    """Ask every webhook."""
    size = setup.pick(1000, 30)
    found: dict[str, dict[int, list[float]]] = {}
    async with setup.world() as world:
        await world.plant(sites(size))
        for gateway in (setup.ours(world, setup.best, webhook=True), *setup.others(world)):
            if not gateway.webhook:
                continue
            async with running(gateway, [sites(size)[-1].host]):
                await _until_listening(gateway.webhook)
                count = setup.pick(500 if gateway.name == setup.best else 20, 5)
                found[gateway.name] = {n: await _ask(gateway.webhook, count, n) for n in (1, _AT_ONCE)}
                tell(f"{gateway.name}: {found[gateway.name]}")
    rows = setup.beside(partial(_rows, setup, size, found))
    details = {name: {str(n): [round(s, 4) for s in taken[n]] for n in taken} for name, taken in found.items()}
    return Part(tuple(rows), details)


def _rows(setup: Setup, size: int, found: dict[str, dict[int, list[float]]], peer_name: str | None) -> list[Row]:
    own, other = found[setup.best], found.get(peer_name or "")
    return [
        row(
            f"admission with {size:,} Ingresses, {at_once} at once: p{share * 100:.0f}",
            "s",
            percentile(own[at_once], share),
            percentile(other[at_once], share) if other else None,
            peer_name=peer_name,
            mark=_MARK if share > 0.5 and at_once == 1 else None,  # noqa: PLR2004
        )
        for at_once in (1, _AT_ONCE)
        for share in (0.5, 0.99)
    ]


async def _until_listening(port: int) -> None:
    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await eventually(listens, within=30)


async def _ask(port: int, count: int, at_once: int) -> list[float]:
    """Send reviews; returns the seconds of each. Raises LabError when one isn't allowed."""
    taken: list[float] = []
    connector = aiohttp.TCPConnector(limit=at_once, ssl=False)
    async with aiohttp.ClientSession(f"https://127.0.0.1:{port}", connector=connector) as session:

        async def one(number: int) -> None:
            began = time.monotonic()
            async with session.post(_PATH, json=review(number)) as answer:
                said = json.loads(await answer.read())
            taken.append(time.monotonic() - began)
            if not said["response"]["allowed"]:
                raise LabError(f"a good Ingress is refused: {said['response']}")

        await together((one(number) for number in range(count)), parallel=at_once)
    return taken


def review(number: int) -> dict[str, Any]:
    """Return the question whether a new Ingress, with a host of its own, may be created."""
    name = f"asked-{number:05d}"
    obj = ingress(name, f"{name}.{_TARGET.host}", _TARGET.name)
    obj["metadata"] |= {"namespace": NAMESPACE, "uid": str(uuid.uuid4())}
    kind = {"group": "networking.k8s.io", "version": "v1", "kind": "Ingress"}
    request = {
        "uid": str(uuid.uuid4()),
        "kind": kind,
        "resource": {"group": "networking.k8s.io", "version": "v1", "resource": "ingresses"},
        "requestKind": kind,
        "name": name,
        "namespace": NAMESPACE,
        "operation": "CREATE",
        "userInfo": {"username": "bench"},
        "object": obj,
        "oldObject": None,
        "dryRun": False,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
