"""How long after a change in a member does a new pod get its first request through the centre's gateway?

The clock runs from the moment in which the change is sent to the member's API server. On the way lie the operator's
watch, the mirror in the centre, the gateway's watch and nginx; all requests go to the service that changes.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time

from bench.dataplane.gateways import Ours, reloads
from bench.dataplane.network import new_pod
from bench.dataplane.wrk import Figures, Load, finish
from bench.multicluster.clusters import Fleet, Plan, host_of
from bench.multicluster.setup import Setup
from bench.parts import tell
from bench.results import Part, row
from bench.stats import percentile

_MARKS = {0.5: 0.150, 0.99: 1.0}
_CLUSTERS = 3
_RATE = 1000.0
_CONNECTIONS = 32
_PATIENCE = 20.0
_ROUNDING = 0.001  # the backend's clock
_LONG = 3600


async def measure(setup: Setup) -> Part:
    """Let pods come and go in one member."""
    services, count = setup.pick(300, 5), setup.pick(100, 5)
    async with setup.served(Plan(_CLUSTERS, _CLUSTERS, services)) as (fleet, gateway):
        before = reloads(gateway)
        samples, figures = await _look(setup, fleet, gateway, count)
        more = reloads(gateway) - before
    tell(f"{sorted(samples)}, {more} reloads, {figures}")
    what = f"new pod in a member → its first request, {_CLUSTERS} clusters x {services} services"
    rows = [row(f"{what}: p{share * 100:.0f}", "s", percentile(samples, share), mark=m) for share, m in _MARKS.items()]
    changes = f"over {2 * count} changes in a member"
    rows += [
        row(f"reloads {changes}", "", more, mark=0),
        row(f"failed requests {changes}", "", figures.failures, mark=0),
    ]
    return Part(tuple(rows), {"seconds": samples, "requests/s": round(figures.rate), "failed": figures.failed})


async def _look(setup: Setup, fleet: Fleet, gateway: Ours, count: int) -> tuple[list[float], Figures]:
    host = host_of(fleet.plan.namespaces[0], 0)
    process = await Load(gateway.http, [(host, "/")]).steady(_RATE, _CONNECTIONS).start(_LONG, setup.folder)
    chance = random.Random(setup.seed)  # noqa: S311 - no secret
    samples = []
    try:
        for _ in range(count):
            await asyncio.sleep(chance.uniform(0.3, 0.5))
            samples.append(round(await _sample(fleet, new_pod(next(setup.pods))), 4))
            await fleet.set_pods(fleet.members[1], 0)
    finally:
        process.send_signal(signal.SIGINT)  # wrk then tells what it found
        figures = await finish(process)
    return samples, figures


async def _sample(fleet: Fleet, address: str) -> float:
    """Add a pod; returns the seconds until it got a request, infinity for not within the time given."""
    began = time.time()
    await fleet.set_pods(fleet.members[1], 0, address)
    while (at := fleet.world.backend.first_request(address)) is None:
        if time.time() > began + _PATIENCE:
            return float("inf")
        await asyncio.sleep(0.01)
    return at + _ROUNDING - began
