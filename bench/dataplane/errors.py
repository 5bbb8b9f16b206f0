"""Does anybody lose a request while things change? Ten kinds of changes, one a second, under kept-alive connections.

None of them brings a new profile: weights, endpoints, settings of routes, hosts that come and go, a new certificate.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from bench.dataplane.endpoints import half_load
from bench.dataplane.gateways import DYNAMIC, Gateway, reloads, running
from bench.dataplane.network import new_pod
from bench.dataplane.setup import Setup
from bench.dataplane.sites import (
    INGRESSES,
    NAMESPACE,
    SERVICES,
    SLICES,
    Site,
    annotation,
    canary,
    objects,
    secure_sites,
    sites,
)
from bench.dataplane.world import World
from bench.dataplane.wrk import CONNECTIONS, Figures, finish
from bench.parts import tell
from bench.results import Part, Row, row

_SITES = 10
_LONG = 3600
_CANARY, _GUEST = Site(500), Site(501)
Change = Callable[[int], Awaitable[object]]  # given its serial number


@dataclass(frozen=True)
class _Minute:
    load: Figures
    reloads: int


async def measure(setup: Setup) -> Part:
    """Change things for a minute before every gateway, one gateway after the other."""
    count = setup.pick(60, 10)
    found: dict[str, _Minute] = {}
    for number in range(len(setup.renderers) + len(setup.peers)):
        async with setup.world() as world:
            await world.plant([*sites(_SITES), *secure_sites()])
            await _plant_canary(world)
            gateway = setup.gateways(world)[number]
            async with running(gateway, [site.host for site in sites(_SITES)]):
                found[gateway.name] = minute = await _minute(setup, world, gateway, count)
                tell(f"{gateway.name}: {minute}")
    rows = [one for name in setup.renderers for one in setup.beside(partial(_rows, setup, name, found, count))]
    return Part(
        tuple(rows), {name: {"failed": m.load.failed, "requests": m.load.requests} for name, m in found.items()}
    )


async def _plant_canary(world: World) -> None:
    """Let a second Service take a part of the first site."""
    for resource, obj in objects(_CANARY, canary(10)):
        if resource is INGRESSES:
            obj["spec"]["rules"][0]["host"] = sites(1)[0].host
        await world.api.create(resource, obj, NAMESPACE)


async def _minute(setup: Setup, world: World, gateway: Gateway, count: int) -> _Minute:
    load = await half_load(gateway, sites(_SITES), setup, CONNECTIONS)
    before = reloads(gateway)
    process = await load.start(_LONG, setup.folder)
    kinds = changes(world, setup)
    try:
        began = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number + 1 - time.monotonic()))
            await kinds[number % len(kinds)](number)
        await asyncio.sleep(5)  # what came late is to be seen, too
    finally:
        process.send_signal(signal.SIGINT)
        figures = await finish(process)
    return _Minute(figures, reloads(gateway) - before)


def changes(world: World, setup: Setup) -> list[Change]:
    """Return the ten kinds, in the order in which they happen."""
    first, second = sites(2)

    async def annotate(site: Site, **values: str | None) -> None:
        found = {annotation(key.replace("_", "-")): value for key, value in values.items()}
        await world.api.merge_patch(INGRESSES, site.name, {"metadata": {"annotations": found}}, NAMESPACE)

    async def come(_: int) -> None:
        for resource, obj in objects(_GUEST):
            await world.api.create(resource, obj, NAMESPACE)

    async def go(_: int) -> None:
        for resource in (INGRESSES, SLICES, SERVICES):
            await world.api.delete(resource, _GUEST.name, NAMESPACE)

    return [
        lambda n: annotate(_CANARY, canary_weight=str(20 + n % 50)),
        lambda _: world.set_pods(first, new_pod(next(setup.pods))),
        lambda n: annotate(second, proxy_read_timeout=str(60 + n)),
        lambda _: world.set_pods(first),
        come,
        lambda n: annotate(_CANARY, canary_weight=str(10 + n % 50)),
        lambda n: annotate(second, whitelist_source_range=f"127.0.0.0/8,192.0.2.{n}/32"),
        lambda _: world.renew_certificate(),
        lambda _: world.set_pods(second, new_pod(next(setup.pods)), new_pod(next(setup.pods))),
        go,
    ]


def _rows(setup: Setup, name: str, found: dict[str, _Minute], count: int, peer_name: str | None) -> list[Row]:
    own = found[name]
    other = found.get(peer_name or "") if name == setup.best else None
    mark = 0 if name == DYNAMIC else None
    what = f"{count} changes of ten kinds, one a second, {CONNECTIONS} kept-alive connections, {name}"
    return [
        row(
            f"{what}: failed requests",
            "",
            own.load.failures,
            other.load.failures if other else None,
            peer_name=peer_name,
            mark=mark,
        ),
        row(f"{what}: reloads", "", own.reloads, other.reloads if other else None, peer_name=peer_name, mark=mark),
    ]
