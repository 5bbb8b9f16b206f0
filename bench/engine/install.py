"""How long does it take until a crowd of custom resources, applied at once, is installed?

Helm runs in the peer's own process; ours starts a helm for each. The clock runs from the first custom resource that is
sent to the last one that says Deployed.
"""

from __future__ import annotations

import time

from bench.engine.operators import Contender, running
from bench.engine.setup import Setup
from bench.engine.world import site_names
from bench.parts import tell
from bench.results import Part, row
from bench.stats import median

_ROUNDS = {100: 3, 500: 1}
_MARK = 1.2  # times the peer
_PATIENCE = 5.0  # seconds for each


async def measure(setup: Setup) -> Part:
    """Install 100 and 500, on a fresh API server each time, taking turns."""
    rows, details = [], {}
    for count, rounds in ({5: 1} if setup.quick else _ROUNDS).items():
        taken: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(rounds):
            for contender in setup.contenders:
                seconds = await _install(setup, contender, count)
                tell(f"{contender.name}: {count} installed in {seconds:.1f} s")
                taken[contender.ours].append(round(seconds, 3))
        rows.append(
            row(
                f"install of {count} custom resources",
                "s",
                median(taken[True]),
                median(taken[False]) if taken[False] else None,
                peer_name=setup.peer_name,
                of_peer=_MARK,
            )
        )
        details[str(count)] = {"ours": taken[True], "peer": taken[False]}
    return Part(tuple(rows), {"seconds": details})


async def _install(setup: Setup, contender: Contender, count: int) -> float:
    async with setup.world() as world, running(contender, world):
        started = time.monotonic()
        await world.apply_sites(site_names(count))
        return await world.until_deployed(count, within=60 + _PATIENCE * count) - started
