"""How many requests a second, beside a hand-written nginx.conf for the same routes?

One worker each, alone on a processor; load and backend share the others. All run at the same time, but only the one
whose turn it is isn't frozen. A round gives each a turn; a figure is the median over the rounds of the ratio within
one round, so that a machine whose speed changes misleads nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.dataplane.gateways import DYNAMIC, HAND, STATIC, Gateway, freeze, running, thaw, workers
from bench.dataplane.processes import processor_seconds, processors
from bench.dataplane.setup import Setup, tell
from bench.dataplane.sites import PATHS, Site, health_checked, secure_sites, sites
from bench.dataplane.world import World
from bench.dataplane.wrk import Figures, Load, Target
from bench.results import Part, Row, row
from bench.stats import median

METRICS = f"{DYNAMIC} with metrics"
MARKS = {STATIC: 0.95, DYNAMIC: 0.80, METRICS: 0.65}
_WARM_UP = 1
_SETTLE = 10  # what a start leaves to do


@dataclass(frozen=True)
class Scenario:
    """One kind of load."""

    what: str
    targets: Sequence[Target]
    tls: bool = False
    close: bool = False

    def load(self, gateway: Gateway) -> Load:
        """Return the load for one gateway."""
        return Load(gateway.https if self.tls else gateway.http, self.targets, self.tls, self.close)


@dataclass(frozen=True)
class Turn:
    """What one load found, and the share of its processor that the worker had meanwhile."""

    figures: Figures
    busy: float


Turns = dict[str, list[Turn]]  # by gateway, one for each round


async def measure(setup: Setup) -> Part:
    """Let all have their turns in all scenarios."""
    many = setup.pick(1000, 30)
    measured, rest = processors()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, rest)
    try:
        async with setup.world() as world:
            await world.plant([*sites(many), *secure_sites()], health_checked())
            gateways = _gateways(setup, world, [*sites(many), *secure_sites()])
            found = await _all(setup, gateways, scenarios(many), measured)
    finally:
        os.sched_setaffinity(0, before)
    rows = [one for what, turns in found.items() for one in setup.beside(partial(rows_of, what, turns))]
    return Part(tuple(rows), {what: _details(turns) for what, turns in found.items()})


def scenarios(many: int) -> list[Scenario]:
    """Return the loads: one route in three ways, and all routes of `many` hosts."""
    one, secure = sites(1)[0], secure_sites()[0]
    every = [(site.host, path) for path in PATHS for site in sites(many)]
    return [
        Scenario("HTTP, kept alive", [(one.host, PATHS[0])]),
        Scenario("TLS, kept alive", [(secure.host, PATHS[0])], tls=True),
        Scenario("HTTP, not kept alive", [(one.host, PATHS[0])], close=True),
        Scenario(f"HTTP, {many:,} hosts, 3 paths", every),
    ]


def _gateways(setup: Setup, world: World, served: list[Site]) -> list[Gateway]:
    own: list[Gateway] = [setup.ours(world, renderer) for renderer in setup.renderers]
    if DYNAMIC in setup.renderers:
        own.append(setup.ours(world, DYNAMIC, metrics=True))
    return [setup.by_hand(world, served), *own, *setup.others(world)]


async def _all(setup: Setup, gateways: list[Gateway], loads: list[Scenario], measured: set[int]) -> dict[str, Turns]:
    found: dict[str, Turns] = {load.what: {gateway.name: [] for gateway in gateways} for load in loads}
    async with contextlib.AsyncExitStack() as stack:
        for gateway in gateways:
            await stack.enter_async_context(running(gateway, [loads[-1].targets[-1][0]]))
            await asyncio.sleep(_SETTLE)
            freeze(gateway)
        try:
            for load in loads:
                for number in range(setup.pick(5, 1)):
                    turn = number % len(gateways)
                    for gateway in [*gateways[turn:], *gateways[:turn]]:
                        found[load.what][gateway.name].append(await _turn(setup, gateway, load, measured))
        finally:
            for gateway in gateways:
                thaw(gateway, measured)
    return found


async def _turn(setup: Setup, gateway: Gateway, load: Scenario, measured: set[int]) -> Turn:
    thaw(gateway, measured)
    try:
        await load.load(gateway).run(_WARM_UP, setup.folder)
        began, used = time.monotonic(), _used(gateway)
        figures = await load.load(gateway).run(setup.pick(3, 1), setup.folder)
        busy = (_used(gateway) - used) / (time.monotonic() - began)
    finally:
        freeze(gateway)
    said = f"{figures.rate:.0f}/s, p99 {figures.p99:.2f} ms, failed {figures.failures}, processor {busy:.0%}"
    tell(f"{load.what}: {gateway.name}: {said}")
    return Turn(figures, busy)


def _used(gateway: Gateway) -> float:
    return sum(processor_seconds(pid) for pid in workers(gateway))


def rows_of(what: str, turns: Turns, peer_name: str | None) -> list[Row]:
    """Return the rows of one scenario: what each of ours reaches of the hand-written file's figures, in the median."""
    base = turns[HAND]
    other = turns.get(peer_name) if peer_name else None
    rows = []
    for name in [name for name in MARKS if turns.get(name)]:
        peer = other if name == METRICS else None
        for title, get, mark in (
            ("requests/s", _rate, MARKS[name]),
            ("requests per second of processor", _thrift, None),
            ("p99", _p99, None),
        ):
            rows.append(
                row(
                    f"{what}: {title}, {name}",
                    "of hand-written",
                    median(_ratios(turns[name], base, get)),
                    median(_ratios(peer, base, get)) if peer else None,
                    peer_name=peer_name,
                    better="lower" if get is _p99 else "higher",
                    mark=mark,
                )
            )
    failed = sum(turn.figures.failures for name in MARKS for turn in turns.get(name, ()))
    lost = sum(turn.figures.failures for turn in other) if other else None
    rows.append(row(f"{what}: failed, all of ours", "requests", failed, lost, peer_name=peer_name, mark=0))
    return rows


def _ratios(turns: list[Turn], base: list[Turn], get: Callable[[Turn], float]) -> list[float]:
    return [get(one) / get(other) for one, other in zip(turns, base, strict=True)]


def _rate(turn: Turn) -> float:
    return turn.figures.rate


def _thrift(turn: Turn) -> float:
    """Return what the rate would be with the whole processor: other programs on the machine change it little."""
    return turn.figures.rate / turn.busy


def _p99(turn: Turn) -> float:
    return turn.figures.p99


def _details(turns: Turns) -> dict[str, Any]:
    return {
        name: {
            "requests/s": [round(turn.figures.rate) for turn in taken],
            "p50 ms": [round(turn.figures.p50, 3) for turn in taken],
            "p99 ms": [round(turn.figures.p99, 3) for turn in taken],
            "failed": [turn.figures.failed for turn in taken if turn.figures.failures],
            "processor": [round(turn.busy, 2) for turn in taken],
        }
        for name, taken in turns.items()
    }
