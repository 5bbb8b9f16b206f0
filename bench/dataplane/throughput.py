"""How many requests a second, beside a hand-written nginx.conf for the same routes?

In duets: the hand-written file and one gateway, a worker each, share one processor under the same load at the same
time, so that whatever the machine does to one it does to the other; a figure is the median of the ratios within duets.
(In turns, figures of one gateway differed by a third on a virtual machine.) Loads and backend have the other
processors, and who isn't in the duet is frozen. Peers, which are far from any mark, have a duet in every third round.
When the host takes much of the processors, the duet is played again, unless requests failed in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.dataplane.gateways import DYNAMIC, HAND, STATIC, Gateway, freeze, running, thaw, workers
from bench.dataplane.processes import machine_seconds, processor_seconds, processors
from bench.dataplane.setup import Setup
from bench.dataplane.sites import PATHS, health_checked, secure_sites, sites
from bench.dataplane.world import World
from bench.dataplane.wrk import Figures, Load, Target
from bench.parts import tell
from bench.results import Part, Row, row
from bench.stats import median
from lab.errors import LabError

METRICS = f"{DYNAMIC} with metrics"
MARKS = {STATIC: 0.95, DYNAMIC: 0.80, METRICS: 0.65}
_ROUNDS, _EVERY = 9, 3  # of ours, and every how many of them peers have a duet
_WARM_UP, _DUET = 1, 2  # s
_STOLEN, _TRIES = 0.05, 4  # of the processors' time, by the host; how often one duet is played
_REST, _AT_REST, _PATIENCE = 3.0, 0.03, 90.0  # s looked at, share of a processor, s: what a start leaves to do


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
class Side:
    """What one load found, and the share of the processor that the workers had meanwhile."""

    figures: Figures
    busy: float


@dataclass(frozen=True)
class Duet:
    """A gateway beside the hand-written file, and what the host took of all processors."""

    gateway: Side
    hand: Side
    stolen: float = 0.0

    @property
    def failures(self) -> int:
        """Requests that failed on either side."""
        return self.gateway.figures.failures + self.hand.figures.failures


Duets = dict[str, dict[int, Duet]]  # by gateway and round


async def measure(setup: Setup) -> Part:
    """Let all play in all scenarios."""
    many = setup.pick(1000, 30)
    measured, rest = processors()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, rest)
    try:
        async with setup.world() as world:
            await world.plant([*sites(many), *secure_sites()], health_checked())
            found = await _all(setup, _stage(setup, world, many), scenarios(many), measured)
    finally:
        os.sched_setaffinity(0, before)
    rows = [one for what, duets in found.items() for one in setup.beside(partial(rows_of, what, duets))]
    return Part(tuple(rows), {what: _details(duets) for what, duets in found.items()})


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


@dataclass(frozen=True)
class Stage:
    """Who plays: the hand-written file, and the gateways that are held against it."""

    hand: Gateway
    gateways: Sequence[Gateway]

    @property
    def all(self) -> Sequence[Gateway]:
        """Everybody."""
        return [self.hand, *self.gateways]


def _stage(setup: Setup, world: World, many: int) -> Stage:
    own: list[Gateway] = [setup.ours(world, renderer) for renderer in setup.renderers]
    if DYNAMIC in setup.renderers:
        own.append(setup.ours(world, DYNAMIC, metrics=True))
    return Stage(setup.by_hand(world, [*sites(many), *secure_sites()]), [*own, *setup.others(world)])


async def _all(setup: Setup, stage: Stage, loads: list[Scenario], measured: set[int]) -> dict[str, Duets]:
    found: dict[str, Duets] = {load.what: {gateway.name: {} for gateway in stage.gateways} for load in loads}
    async with contextlib.AsyncExitStack() as stack:
        for gateway in stage.all:
            await stack.enter_async_context(running(gateway, [loads[-1].targets[-1][0]]))
            await _settled(gateway)
            freeze(gateway)
        try:
            for load in loads:
                for number in range(setup.pick(_ROUNDS, 1)):
                    for gateway in playing(stage.gateways, number):
                        found[load.what][gateway.name][number] = await _duet(setup, stage.hand, gateway, load, measured)
        finally:
            for gateway in stage.all:
                thaw(gateway, measured)
    return found


def playing(gateways: Sequence[Gateway], number: int) -> Sequence[Gateway]:
    """Return who plays in a round, in order: nobody always comes after the same other one."""
    now = [one for one in gateways if one.name in MARKS or number % _EVERY == 0]
    return now[::-1] if number % 2 else now


async def _settled(gateway: Gateway) -> None:
    """Wait until a gateway only waits: what it would do in its first turns would be done at the load's cost."""
    end, used = time.monotonic() + _PATIENCE, float("inf")
    while not 0 <= used <= _AT_REST * _REST and time.monotonic() < end:  # less than nothing: a process has ended
        before = _used(gateway.pids())
        await asyncio.sleep(_REST)
        used = _used(gateway.pids()) - before
    tell(f"{gateway.name} serves, and uses {used / _REST:.0%} of a processor")


async def _duet(setup: Setup, hand: Gateway, gateway: Gateway, load: Scenario, measured: set[int]) -> Duet:
    played: list[Duet] = []
    while not played or (worth_another(played[-1]) and len(played) < setup.pick(_TRIES, 1)):
        played.append(await _once(setup, hand, gateway, load, measured))
        tell(f"{load.what}: {gateway.name}: {_said(played[-1])}")
    return min(played, key=lambda duet: (-duet.failures, duet.stolen))


def worth_another(duet: Duet) -> bool:
    """Tell whether a duet says more of the host than of the gateway; failed requests are never measured away."""
    return duet.stolen > _STOLEN and not duet.failures


async def _once(setup: Setup, hand: Gateway, gateway: Gateway, load: Scenario, measured: set[int]) -> Duet:
    both = (gateway, hand)
    for one in both:
        thaw(one, measured)
    try:
        with contextlib.suppress(LabError):  # a peer of a thousand hosts may need it all to come to itself
            await _together(setup, both, load, _WARM_UP)
        began, (whole, stolen) = time.monotonic(), machine_seconds()
        used = [_used(workers(one)) for one in both]
        figures = await _together(setup, both, load, setup.pick(_DUET, 1))
        seconds = time.monotonic() - began
        busy = [(_used(workers(one)) - before) / seconds for one, before in zip(both, used, strict=True)]
        later, more = machine_seconds()
    finally:
        for one in both:
            freeze(one)
    ours, theirs = (Side(*side) for side in zip(figures, busy, strict=True))
    return Duet(ours, theirs, (more - stolen) / (later - whole))


async def _together(setup: Setup, both: Sequence[Gateway], load: Scenario, seconds: int) -> list[Figures]:
    return [*await asyncio.gather(*(load.load(one).run(seconds, setup.folder) for one in both))]


def _said(duet: Duet) -> str:
    sides = [f"{side.figures.rate:.0f}/s with {side.busy:.0%}" for side in (duet.gateway, duet.hand)]
    p99 = duet.gateway.figures.p99
    return f"{' beside '.join(sides)}, p99 {p99:.2f} ms, failed {duet.failures}, taken by the host {duet.stolen:.1%}"


def _used(pids: Iterable[int]) -> float:
    return sum(map(processor_seconds, pids))


def rows_of(what: str, duets: Duets, peer_name: str | None) -> list[Row]:
    """Return the rows of one scenario: what each of ours reaches of the hand-written file's figures, in the median."""
    other = duets.get(peer_name) if peer_name else None
    rows = []
    for name in [name for name in MARKS if duets.get(name)]:
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
                    _ratio(duets[name], get),
                    _ratio(peer, get) if peer else None,
                    peer_name=peer_name,
                    better="lower" if get is _p99 else "higher",
                    mark=mark,
                )
            )
    failed = sum(_failures(duets.get(name, {})) for name in MARKS)
    lost = _failures(other) if other else None
    rows.append(row(f"{what}: failed, all of ours", "requests", failed, lost, peer_name=peer_name, mark=0))
    return rows


def _ratio(duets: Mapping[int, Duet], get: Callable[[Side], float]) -> float:
    return median([get(duet.gateway) / get(duet.hand) for duet in duets.values()])


def _failures(duets: Mapping[int, Duet]) -> int:
    return sum(duet.gateway.figures.failures for duet in duets.values())


def _rate(side: Side) -> float:
    return side.figures.rate


def _thrift(side: Side) -> float:
    """Return what the rate would be with the whole processor: also where the two didn't share it equally."""
    return side.figures.rate / side.busy


def _p99(side: Side) -> float:
    return side.figures.p99


def _details(duets: Duets) -> dict[str, Any]:
    return {
        name: {
            "rounds": [*played],
            "taken by the host": [round(duet.stolen, 3) for duet in played.values()],
            "gateway": _sides([duet.gateway for duet in played.values()]),
            HAND: _sides([duet.hand for duet in played.values()]),
        }
        for name, played in duets.items()
    }


def _sides(sides: Sequence[Side]) -> dict[str, list[Any]]:
    return {
        "requests/s": [round(side.figures.rate) for side in sides],
        "p50 ms": [round(side.figures.p50, 3) for side in sides],
        "p99 ms": [round(side.figures.p99, 3) for side in sides],
        "failed": [side.figures.failed for side in sides if side.figures.failures],
        "processor": [round(side.busy, 2) for side in sides],
    }
