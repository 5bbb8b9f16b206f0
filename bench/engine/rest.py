"""What does an operator cost while nothing changes?

Two looks: processor time and requests over two minutes with the default period of one minute, beside the peer; and ten
periods of ten seconds in which ours may neither start helm nor write anything.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench.engine.operators import Contender, Operator
from bench.engine.setup import Setup
from bench.engine.world import World
from bench.parts import tell
from bench.results import Part, Row, row

_MARK = 1 / 50  # of the peer's processor time
_PERIODS, _PERIOD = 10, 10


@dataclass(frozen=True)
class _Rest:
    """What was used in a minute, and how many helm processes were started in all."""

    cpu: float
    reads: float
    writes: float
    helm: int
    all_writes: int


async def measure(setup: Setup) -> Part:
    """Look at both operators at rest over the same number of custom resources."""
    count, seconds = setup.pick(100, 5), setup.pick(130, 10)
    found: dict[bool, _Rest] = {}
    for contender in setup.contenders:
        found[contender.ours] = await _look(setup, contender, count, seconds)
        tell(f"{contender.name} at rest: {found[contender.ours]}")
    own, other = found[True], found.get(False)
    name = setup.peer_name
    rows = [
        row(
            f"CPU at rest, {count} custom resources, period 1 min",
            "s a minute",
            own.cpu,
            other.cpu if other else None,
            peer_name=name,
            of_peer=_MARK,
        ),
        row("API reads at rest", "a minute", own.reads, other.reads if other else None, peer_name=name),
        row("API writes at rest", "a minute", own.writes, other.writes if other else None, peer_name=name, mark=0),
    ]
    return Part((*rows, *await _silence(setup, count)), {"seconds": seconds})


async def _look(setup: Setup, contender: Contender, count: int, seconds: float) -> _Rest:
    async with setup.installed(contender, count) as (world, operator):
        if not setup.quick:
            await asyncio.sleep(20)  # what an install leaves behind, as status changes of Deployments
        return await _window(world, operator, seconds)


async def _silence(setup: Setup, count: int) -> list[Row]:
    """Ten short periods of ours: each object is due in each of them."""
    seconds = float(_PERIODS * _PERIOD if not setup.quick else 2 * _PERIOD)
    flag = f"--reconcile-period={_PERIOD}s"
    async with setup.installed(setup.ours, count, flag, count_helm=True) as (world, operator):
        passes = await asyncio.to_thread(operator.passes)
        found = await _window(world, operator, seconds)
        passes = await asyncio.to_thread(operator.passes) - passes
    periods = round(seconds / _PERIOD)
    return [
        row(f"helm processes over {periods} periods at rest", "", found.helm, mark=0),
        row(f"API writes over {periods} periods at rest", "", found.all_writes, mark=0),
        row(f"passes over {periods} periods at rest, each object due in each", "", passes, better="higher"),
    ]


async def _window(world: World, operator: Operator, seconds: float) -> _Rest:
    begun, cpu, asked, helm = time.monotonic(), operator.cpu_seconds(), await world.requests(), operator.helm_calls()
    await asyncio.sleep(seconds)
    minutes = (time.monotonic() - begun) / 60
    used = operator.cpu_seconds() - cpu
    asked = await world.requests() - asked
    return _Rest(
        used / minutes, asked.reads / minutes, asked.writes / minutes, operator.helm_calls() - helm, asked.writes
    )
