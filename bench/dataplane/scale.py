"""What do many Ingresses cost: until a new gateway serves them all, until one more is live, and in memory?

Each Ingress has three paths and a Service of its own with three pods. A gateway is started fresh over each number of
them, with nothing on its disk; the clock runs from the start of its processes until every host has answered.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.dataplane.asking import EVERY, answers
from bench.dataplane.gateways import DYNAMIC, Gateway, Ours, controller_memory, reloads, serving, worker_memory
from bench.dataplane.setup import Setup
from bench.dataplane.sites import INGRESSES, NAMESPACE, Site, ingress, sites
from bench.dataplane.world import World
from bench.engine.world import together
from bench.parts import tell
from bench.results import Part, Row, row
from bench.stats import median, percentile

_FEW, _MANY, _MOST = 10, 1000, 10_000
_COLD = {_MANY: 5.0, _MOST: 15.0}
_MEMORY = {_MANY: 150.0, _MOST: 400.0}
_LIVE = 0.100
_LIVE_PATIENCE = 60.0
_CHECKED = 500  # hosts that are asked before a start counts as done, the newest among them
_TARGET = Site(0)


@dataclass(frozen=True)
class _Look:
    cold: float
    controller: float
    worker: float
    live: list[float]
    reloads: int
    held: dict[str, int] = field(default_factory=dict)


Looks = dict[tuple[str, int], _Look]


async def measure(setup: Setup) -> Part:
    """Start each gateway over each number of Ingresses that it is meant for."""
    sizes = [_FEW, setup.pick(_MANY, 50), *([] if setup.quick else [_MOST])]
    found: Looks = {}
    async with setup.world() as world:
        planted = 0
        for size in sizes:
            began = time.monotonic()
            await world.plant(sites(size, planted))
            planted = size
            tell(f"{size} Ingresses are planted after {time.monotonic() - began:.0f} s")
            for gateway in setup.gateways(world):
                if size != _MOST or gateway.name == DYNAMIC:
                    found[gateway.name, size] = look = await _look(setup, world, gateway, size)
                    tell(f"{gateway.name}, {size}: {look}")
    rows = [one for name in setup.renderers for one in setup.beside(partial(_rows, setup, name, sizes, found))]
    return Part(tuple(rows), _details(found))


async def _look(setup: Setup, world: World, gateway: Gateway, size: int) -> _Look:
    hosts = [site.host for site in _checked(size)]
    began = time.monotonic()
    await gateway.start()
    try:
        cold = await serving(gateway, hosts, every=EVERY) - began
        await asyncio.sleep(setup.pick(5, 1))
        held = gateway.bytes_held() if isinstance(gateway, Ours) else {}
        memory = await _usual_memory(gateway, setup.pick(5, 1))
        worker = worker_memory(gateway)
        before = reloads(gateway)
        count = setup.pick(30 if gateway.name == DYNAMIC else 8, 2)
        live = await _live(setup, world, gateway, count)
        return _Look(cold, memory, worker, live, reloads(gateway) - before, held)
    finally:
        await gateway.stop()


def _checked(size: int) -> list[Site]:
    """Return the hosts to ask, the newest first: evenly spread when there are too many."""
    step = max(1, size // _CHECKED)
    return [*reversed(sites(size))][::step]


async def _usual_memory(gateway: Gateway, seconds: int) -> float:
    seen = []
    for _ in range(2 * seconds):
        seen.append(controller_memory(gateway))
        await asyncio.sleep(0.5)
    return median(seen)


async def _live(setup: Setup, world: World, gateway: Gateway, count: int) -> list[float]:
    """Create Ingresses one after the other; returns the seconds from sending each to its first good answer."""
    chance = random.Random(setup.seed)  # noqa: S311 - no secret
    names = [f"late-{next(setup.pods):05d}" for _ in range(count)]
    taken = []
    for name in names:
        await asyncio.sleep(chance.uniform(0.5, 1.0))
        host = f"{name}.{_TARGET.host}"
        obj = ingress(name, host, _TARGET.name)
        began = time.monotonic()
        waiting = asyncio.create_task(answers(gateway.http, [host], within=_LIVE_PATIENCE))
        await world.api.create(INGRESSES, obj, NAMESPACE)
        taken.append(round(await waiting - began, 4))
    await together(world.api.delete(INGRESSES, name, NAMESPACE) for name in names)
    return taken


def _rows(setup: Setup, name: str, sizes: list[int], found: Looks, peer_name: str | None) -> list[Row]:
    rows: list[Row] = []
    dynamic = name == DYNAMIC
    for size in [size for size in sizes if (name, size) in found]:
        own = found[name, size]
        other = found.get((peer_name or "", size)) if name == setup.best else None
        title = f"{size:,} Ingresses, {name}"
        figures: list[tuple[str, str, float, float | None, float | None]] = [
            ("cold start", "s", own.cold, other.cold if other else None, _COLD.get(size) if dynamic else None),
            (
                "one more live, p50",
                "s",
                median(own.live),
                median(other.live) if other else None,
                _LIVE if dynamic else None,
            ),
            ("one more live, slowest", "s", max(own.live), max(other.live) if other else None, None),
            ("reloads by those", "", own.reloads, other.reloads if other else None, 0 if dynamic else None),
            ("controller's memory", "MB", own.controller, other.controller if other else None, _MEMORY.get(size)),
            ("worker's memory", "MB", own.worker, other.worker if other else None, None),
        ]
        rows += [
            row(f"{title}: {what}", unit, mine, theirs, peer_name=peer_name, mark=mark)
            for what, unit, mine, theirs, mark in figures
        ]
    return rows


def _details(found: Looks) -> dict[str, Any]:
    details: dict[str, Any] = {}
    for (name, size), look in found.items():
        details.setdefault(name, {})[str(size)] = {
            "live, seconds": look.live,
            "live, p95": percentile(look.live, 0.95),
            "worker MB": round(look.worker, 1),
            "controller MB": round(look.controller, 1),
            "bytes": look.held,
        }
    return details
