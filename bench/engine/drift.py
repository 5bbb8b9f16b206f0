"""How long does drift last? Deleted, changed and added, in a namespace and beside all of them; and a burst of it.

Each sample spoils another release, so that one repair can't help the next. Ours is sampled one at a time; the peer
takes up to a minute each, so its samples lie side by side, which does not slow it: it waits for its period.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator

from bench.engine import changes
from bench.engine.changes import Change
from bench.engine.operators import Contender
from bench.engine.setup import Setup, settled
from bench.engine.sightings import Sightings
from bench.engine.world import World, site_names, together
from bench.parts import tell
from bench.results import Part, Row, row
from bench.stats import percentile
from gateway_operator.kube import Resource

_MARK = 1.0
_BURST_MARK = 10.0
_PATIENCE = 20.0
_PEER_PATIENCE = 70.0  # a little more than its period
_SPREAD = 8.0  # seconds over which the peer's samples begin
Samples = dict[str, list[float]]


async def measure(setup: Setup) -> Part:
    """Spoil objects of both operators."""
    count = setup.pick(100, 12)
    found: dict[bool, tuple[Samples, float]] = {}
    for contender in setup.contenders:
        async with setup.installed(contender, count) as (world, operator), _following(world) as seen:
            patience = _PATIENCE if contender.ours else _PEER_PATIENCE
            samples = await _samples(setup, contender, world, seen, count, patience)
            await settled(operator, within=20)
            burst = await _burst(world, seen, count, patience)
            found[contender.ours] = samples, burst
            tell(f"{contender.name}: burst of {2 * count} put right in {burst:.1f} s")
    return Part(
        tuple(_rows(setup, found, count)), {"samples": {("ours" if k else "peer"): v[0] for k, v in found.items()}}
    )


def _rows(setup: Setup, found: dict[bool, tuple[Samples, float]], count: int) -> list[Row]:
    own, other = found[True], found.get(False)
    rows = []
    for change in changes.ALL:
        for share, mark in ((0.5, None), (0.95, _MARK)):
            rows.append(
                row(
                    f"drift put right: {change.what}, p{share * 100:.0f}",
                    "s",
                    percentile(own[0][change.what], share),
                    percentile(other[0][change.what], share) if other else None,
                    peer_name=setup.peer_name,
                    mark=mark,
                )
            )
    what = f"burst of {2 * count} changed objects put right"
    rows.append(row(what, "s", own[1], other[1] if other else None, peer_name=setup.peer_name, mark=_BURST_MARK))
    return rows


@contextlib.asynccontextmanager
async def _following(world: World) -> AsyncIterator[dict[Resource, Sightings]]:
    seen = {kind: Sightings(world.api, kind, None) for kind in changes.KINDS}
    tasks = [asyncio.create_task(s.run()) for s in seen.values()]
    try:
        for one in seen.values():
            await one.synced.wait()
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _samples(
    setup: Setup, contender: Contender, world: World, seen: dict[Resource, Sightings], count: int, patience: float
) -> Samples:
    rounds = setup.pick(20 if contender.ours else 4, 2)
    plan = [change for _ in range(rounds) for change in changes.ALL]
    sites = site_names(count)
    chance = random.Random(setup.seed)  # noqa: S311 - no secret
    work = [(change, sites[n % count], chance.uniform(0, _SPREAD)) for n, change in enumerate(plan)]
    found: Samples = {change.what: [] for change in changes.ALL}

    async def sample(change: Change, site: str, delay: float) -> None:
        await asyncio.sleep(delay)
        found[change.what].append(round(await _once(world, seen[change.resource], change, site, patience), 4))

    if contender.ours:
        for change, site, delay in work:
            await sample(change, site, delay / 40)
    else:
        await together((sample(*one) for one in work), parallel=len(work))
    for what, values in found.items():
        tell(f"{contender.name}: {what}: {sorted(values)}")
    return found


async def _once(world: World, seen: Sightings, change: Change, site: str, patience: float) -> float:
    """Spoil one object; returns the seconds until it was right, infinity for not within the time given."""
    waiting = asyncio.create_task(seen.first(change.name(site), change.repaired(), within=patience))
    await asyncio.sleep(0)
    started = time.monotonic()
    await change.make(world.api, site)
    return await waiting - started


async def _burst(world: World, seen: dict[Resource, Sightings], count: int, patience: float) -> float:
    """Spoil two objects of every release at once; returns the seconds until the last was right."""
    work = [(c, site) for c in (changes.CHANGED, changes.CLUSTER_CHANGED) for site in site_names(count)]
    waiting = [
        asyncio.create_task(seen[c.resource].first(c.name(site), c.repaired(), within=patience)) for c, site in work
    ]
    await asyncio.sleep(0)
    started = time.monotonic()
    await together(c.make(world.api, site) for c, site in work)
    return max(await asyncio.gather(*waiting)) - started
