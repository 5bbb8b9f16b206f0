"""What does the operator hold, and what does it cost at rest, with twenty members of a thousand services each?

The members share four API servers. Every service of every member is in a policy, so that all of it is watched and
mirrored.
"""

from __future__ import annotations

import asyncio
import time

from bench.engine.operators import Operator
from bench.multicluster.clusters import Fleet, Plan
from bench.multicluster.setup import Setup, tell
from bench.results import Part, row
from bench.stats import median
from gateway_operator.clusters.connection import SLICES
from gateway_operator.clusters.mirror import MIRROR_SELECTOR
from lab.errors import LabError

_MEMBERS, _APIS = 20, 4
_MEMORY, _CPU = 400.0, 2.0  # marks: MB, percent of a processor
_WITHIN = 600.0
_TELL_EVERY = 30.0
_QUIET, _LOOKS = 10.0, 9


async def measure(setup: Setup) -> Part:
    """Plant everything, wait until it is mirrored, and look at the operator."""
    plan = Plan(_MEMBERS if not setup.quick else 4, _APIS if not setup.quick else 2, setup.pick(1000, 5))
    async with setup.fleet(plan) as fleet, setup.operator(fleet) as operator:
        tell("planted")
        begun = time.monotonic()
        await fleet.spread()
        await _mirrored(fleet, operator)
        took = time.monotonic() - begun
        memory = operator.own_rss()
        await _settled(operator)
        cpu = await _at_rest(operator, setup.pick(60, 3))
        at_rest = median([operator.own_rss() for _ in range(3)])
    what = f"{plan.members} members x {plan.services} services over {plan.apis} API servers"
    tell(f"{what}: {took:.0f} s, {memory:.0f} MB, then {at_rest:.0f} MB, {cpu:.2f} %")
    rows = (
        row(f"operator's memory, {what}", "MB", max(memory, at_rest), mark=_MEMORY),
        row(f"operator's processor time at rest, {what}", "% of one", cpu, mark=_CPU),
        row(f"all mirrored from nothing, {what}", "s", took),
    )
    return Part(rows, {"memory after start": memory, "memory at rest": at_rest})


async def _mirrored(fleet: Fleet, operator: Operator) -> None:
    """Wait until each service of each member has its mirror. Raises LabError."""
    wanted, end = fleet.plan.members * fleet.plan.services, time.monotonic() + _WITHIN
    told = time.monotonic()
    while True:
        operator.check()
        listing = await fleet.api.list(SLICES, label_selector=MIRROR_SELECTOR)
        if len(listing.items) >= wanted:
            return
        if time.monotonic() > end:
            raise LabError(f"only {len(listing.items)} of {wanted} mirrors after {_WITHIN:.0f} s")
        if time.monotonic() > told + _TELL_EVERY:
            told = time.monotonic()
            tell(f"{len(listing.items)} of {wanted} are mirrored")
        await asyncio.sleep(5)


async def _settled(operator: Operator) -> None:
    """Wait until the operator uses next to nothing for a while: statuses are written behind the mirrors."""
    for _ in range(_LOOKS):
        operator.check()
        if await _at_rest(operator, _QUIET) < 2 * _CPU:
            return


async def _at_rest(operator: Operator, seconds: float) -> float:
    """Return the share of one processor that it uses, in percent."""
    begun, used = time.monotonic(), operator.cpu_seconds()
    await asyncio.sleep(seconds)
    return 100 * (operator.cpu_seconds() - used) / (time.monotonic() - begun)
