"""How long does a new operator need over a thousand releases that are all as they should be, and what does it hold?

The clock runs from the start of the process until every object has been passed over and nothing waits. The peer never
rests over so many: for it the clock stops when each has had its first pass.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench.engine.memory import usual
from bench.engine.operators import Contender, Operator, running
from bench.engine.plant import plant
from bench.engine.setup import Setup
from bench.parts import tell
from bench.results import Part, row

_MARK_SECONDS, _MARK_MEMORY = 60.0, 200.0
_PATIENCE = 420.0
_CALM = 10  # looks without work, a fifth of a second apart


@dataclass(frozen=True)
class _Start:
    seconds: float
    helm: int
    writes: int
    memory: float


async def measure(setup: Setup) -> Part:
    """Start both operators over what they have installed."""
    count = setup.pick(1000, 20)
    found: dict[bool, _Start] = {}
    for contender in setup.contenders:
        found[contender.ours] = await _look(setup, contender, count)
        tell(f"{contender.name}: {found[contender.ours]}")
    own, other = found[True], found.get(False)
    name = setup.peer_name
    what = f"cold start over {count:,} custom resources"
    return Part(
        (
            row(what, "s", own.seconds, other.seconds if other else None, peer_name=name, mark=_MARK_SECONDS),
            row(f"{what}: helm processes", "", own.helm, mark=0),
            row(f"{what}: API writes", "", own.writes, other.writes if other else None, peer_name=name),
            row(
                f"memory with {count:,} custom resources",
                "MB",
                own.memory,
                other.memory if other else None,
                peer_name=name,
                mark=_MARK_MEMORY,
            ),
        )
    )


async def _look(setup: Setup, contender: Contender, count: int) -> _Start:
    async with setup.world() as world:
        await plant(world, contender, count)
        tell(f"{count} releases of {contender.name} are planted")
        asked = await world.requests()
        async with running(contender, world, count_helm=True) as operator:
            seconds = await _all_passed(operator, count) - operator.started
            memory = await usual(operator, setup.pick(30, 2))
            writes = (await world.requests() - asked).writes
            return _Start(seconds, operator.helm_calls(), writes, memory)


async def _all_passed(operator: Operator, count: int) -> float:
    """Wait until each object has had a pass and, with ours, no work is left for a moment; returns the clock."""
    deadline = time.monotonic() + _PATIENCE
    calm = 0
    since = time.monotonic()
    while time.monotonic() < deadline:
        done, busy = await asyncio.to_thread(operator.passes), await asyncio.to_thread(operator.busy)
        if done < count or (busy and operator.contender.ours):
            calm, since = 0, time.monotonic()
        elif not operator.contender.ours or calm >= _CALM:
            return since
        calm += 1
        await asyncio.sleep(0.2)
    return float("inf")
