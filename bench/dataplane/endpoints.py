"""How long after a change of its EndpointSlice does a new pod get its first request, under half of the possible load?

The clock runs from the moment in which the change is sent to the API server. The backend writes down, by milliseconds,
what arrives at addresses of new pods; each sample is a pod that was never there before.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from dataclasses import dataclass
from functools import partial

from bench.dataplane.gateways import DYNAMIC, Gateway, reloads, running
from bench.dataplane.network import new_pod
from bench.dataplane.setup import Setup
from bench.dataplane.sites import Site, sites
from bench.dataplane.world import World
from bench.dataplane.wrk import Figures, Load, finish
from bench.parts import tell
from bench.results import Part, Row, row
from bench.stats import percentile

_MARKS = {0.5: 0.020, 0.99: 0.300}
_SITES = 10
_PATIENCE = 20.0
_ROUNDING = 0.001  # the backend's clock
_LONG = 3600
_CONNECTIONS = 64


@dataclass(frozen=True)
class _Look:
    samples: list[float]
    load: Figures
    reloads: int


async def measure(setup: Setup) -> Part:
    """Let pods come and go before every gateway, one gateway after the other."""
    found: dict[str, _Look] = {}
    async with setup.world() as world:
        await world.plant(sites(_SITES))
        for gateway in setup.gateways(world):
            own = gateway.name in setup.renderers
            async with running(gateway, [sites(1)[0].host]):
                count = setup.pick(100 if gateway.name == DYNAMIC else 30 if own else 20, 3)
                found[gateway.name] = look = await _look(setup, world, gateway, count)
                tell(f"{gateway.name}: {sorted(look.samples)}, {look.reloads} reloads, {look.load}")
    rows = [one for name in setup.renderers for one in setup.beside(partial(_rows, setup, name, found))]
    return Part(tuple(rows), {name: _details(look) for name, look in found.items()})


async def half_load(gateway: Gateway, chosen: list[Site], setup: Setup, connections: int = _CONNECTIONS) -> Load:
    """Return a steady load of half of what the gateway answers when it is asked as fast as it can."""
    full = Load(gateway.http, [(site.host, "/") for site in chosen])
    figures = await full.run(setup.pick(3, 1), setup.folder)
    tell(f"{gateway.name}: {figures.rate:.0f}/s at full load")
    return full.steady(figures.rate / 2, connections)


async def _look(setup: Setup, world: World, gateway: Gateway, count: int) -> _Look:
    site = sites(1)[0]
    load = await half_load(gateway, [site], setup)
    before = reloads(gateway)
    process = await load.start(_LONG, setup.folder)
    chance = random.Random(setup.seed)  # noqa: S311 - no secret
    samples = []
    try:
        for _ in range(count):
            await asyncio.sleep(chance.uniform(0.3, 0.5))
            samples.append(round(await _sample(world, site, new_pod(next(setup.pods))), 4))
            await world.set_pods(site)
    finally:
        process.send_signal(signal.SIGINT)  # wrk then tells what it found
        figures = await finish(process)
    return _Look(samples, figures, reloads(gateway) - before)


async def _sample(world: World, site: Site, address: str) -> float:
    """Add a pod; returns the seconds until it got a request, infinity for not within the time given."""
    began = time.time()
    await world.set_pods(site, address)
    while (at := world.backend.first_request(address)) is None:
        if time.time() > began + _PATIENCE:
            return float("inf")
        await asyncio.sleep(0.01)
    return at + _ROUNDING - began


def _rows(setup: Setup, name: str, found: dict[str, _Look], peer_name: str | None) -> list[Row]:
    own = found[name]
    other = found.get(peer_name or "") if name == setup.best else None
    what = f"new pod → its first request, half load, {name}"
    rows = [
        row(
            f"{what}: p{share * 100:.0f}",
            "s",
            percentile(own.samples, share),
            percentile(other.samples, share) if other else None,
            peer_name=peer_name,
            mark=mark if name == DYNAMIC else None,
        )
        for share, mark in _MARKS.items()
    ]
    count = 2 * len(own.samples)
    for title, of_own, of_other in (
        ("reloads", own.reloads, other.reloads if other else None),
        ("failed requests", own.load.failures, other.load.failures if other else None),
    ):
        text = f"{title} over {count} changes of endpoints, {name}"
        mark = 0 if name == DYNAMIC else None
        rows.append(row(text, "", of_own, of_other, peer_name=peer_name, mark=mark))
    return rows


def _details(look: _Look) -> dict[str, object]:
    return {"seconds": look.samples, "requests/s": round(look.load.rate), "failed": look.load.failed}
