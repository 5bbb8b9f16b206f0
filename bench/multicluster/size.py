"""What does the operator hold, and what does it cost at rest, with twenty members of a thousand services each?

The members share four API servers. Every service of every member is in a policy, so that all of it is watched and
mirrored.
"""

from __future__ import annotations

import asyncio
import time

from bench.engine.operators import Operator
from bench.multicluster.clusters import Fleet, Plan
from bench.multicluster.setup import Setup
from bench.parts import tell
from bench.results import Part, row
from bench.stats import median
from gateway_operator.clusters.connection import SLICES
from gateway_operator.clusters.mirror import MIRROR_SELECTOR
from lab.errors import LabError

_MEMBERS, _APIS = 20, 4
_MEMORY, _CPU = 400.0, 2.0  # marks: MB, percent of a processor
_WITHIN = 1800.0  # in all, from the first mirror to the last
_STANDSTILL = 120.0  # without a single new mirror: something is broken
_TELL_EVERY = 30.0
_WRITES = "gateway_operator_mirror_writes_total"
_LOOK_EVERY = 5.0


async def measure(setup: Setup) -> Part:
    """Plant everything, wait until it is mirrored, and look at the operator."""
    plan = Plan(_MEMBERS if not setup.quick else 4, _APIS if not setup.quick else 2, setup.pick(1000, 5))
    async with setup.fleet(plan) as fleet, setup.operator(fleet) as operator:
        tell("planted")
        begun = time.monotonic()
        await fleet.spread()
        memory = await _mirrored(fleet, operator)
        took = time.monotonic() - begun
        memory = max(memory, await _settled(operator))
        used = operator.cpu_seconds()
        cpu = await _at_rest(operator, setup.pick(60, 3))
        at_rest = median([operator.own_rss() for _ in range(3)])
    what = f"{plan.members} members x {plan.services} services over {plan.apis} API servers"
    tell(f"{what}: {took:.0f} s, {used:.0f} s of the processor with helm's; {memory:.0f} MB, then {at_rest:.0f} MB")
    tell(f"at rest {cpu:.2f} %")
    rows = (
        row(f"operator's memory, {what}", "MB", max(memory, at_rest), mark=_MEMORY),
        row(f"operator's processor time at rest, {what}", "% of one", cpu, mark=_CPU),
        row(f"all mirrored from nothing, {what}", "s", took),
    )
    return Part(rows, {"most memory": memory, "memory at rest": at_rest, "processor seconds until rest": used})


async def _mirrored(fleet: Fleet, operator: Operator) -> float:
    """Wait until each service of each member has its mirror; returns the most memory seen, MB. Raises LabError.

    How far it is, the operator's own counter says: to list 20,000 slices every few seconds is what would be measured.
    """
    wanted, began = fleet.plan.members * fleet.plan.services, time.monotonic()
    told = moved = began
    written = most = 0.0
    while written < wanted or await _standing(fleet) < wanted:
        await asyncio.sleep(_LOOK_EVERY)
        operator.check()
        now, found = time.monotonic(), await asyncio.to_thread(operator.metric, _WRITES)
        moved = now if found > written else moved
        written, most = found, max(most, operator.own_rss())
        if now > began + _WITHIN or now > moved + _STANDSTILL:
            raise LabError(
                f"{written:.0f} of {wanted} mirrors after {now - began:.0f} s, the last one {now - moved:.0f} s ago; "
                f"the operator used {operator.cpu_seconds():.0f} s of the processor, its log is {operator.log}"
            )
        if now > told + _TELL_EVERY:
            told = now
            tell(f"{written:.0f} of {wanted} are mirrored, {operator.own_rss():.0f} MB")
    return most


async def _standing(fleet: Fleet) -> int:
    return len((await fleet.api.list(SLICES, label_selector=MIRROR_SELECTOR, metadata_only=True)).items)


async def _settled(operator: Operator) -> float:
    """Wait for the releases with the mirror Services and for the statuses; returns the most memory seen, MB.

    Raises LabError.
    """
    end, most, used = time.monotonic() + _WITHIN, 0.0, 100.0
    while used >= 2 * _CPU or await asyncio.to_thread(operator.busy) > 0:
        if time.monotonic() > end:
            raise LabError(f"the operator still uses {used:.1f} % of a processor after {_WITHIN:.0f} s")
        operator.check()
        used = await _at_rest(operator, _LOOK_EVERY)
        most = max(most, operator.own_rss())
    return most


async def _at_rest(operator: Operator, seconds: float) -> float:
    """Return the share of one processor that it uses, in percent."""
    begun, used = time.monotonic(), operator.cpu_seconds()
    await asyncio.sleep(seconds)
    return 100 * (operator.cpu_seconds() - used) / (time.monotonic() - begun)
