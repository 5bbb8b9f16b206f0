"""One member says nothing when the operator starts: how soon is a new policy programmed with the others?

The clock runs from the start of the operator's process to the first moment in which both of the other members have
answered through the gateway. Nothing of the policy's service was in the centre before.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from urllib.parse import urlsplit

import yaml

from bench.dataplane.gateways import Ours
from bench.multicluster.clusters import Fleet, Plan, host_of, policy
from bench.multicluster.drops import dropped
from bench.multicluster.setup import Setup
from bench.parts import tell
from bench.results import Part, row
from gateway_operator.clusters.service import POLICIES
from lab.errors import LabError
from lab.load import Client, Way

_CLUSTERS = 3
_MARK = 5.0  # seconds
_PATIENCE = 60.0


async def measure(setup: Setup) -> Part:
    """Start the operator several times, each time with a policy that it hasn't seen."""
    count = setup.pick(5, 1)
    plan = Plan(_CLUSTERS, _CLUSTERS, 1 + count)
    async with setup.fleet(plan) as fleet, contextlib.AsyncExitStack() as stack:
        async with setup.operator(fleet):
            gateway = await stack.enter_async_context(setup.gateway(fleet, 1))
        with dropped(_api(fleet, _CLUSTERS - 1)):
            taken = [await _start(setup, fleet, gateway, number) for number in range(1, 1 + count)]
    tell(str(taken))
    what = "one of three members is silent when the operator starts: the others are programmed"
    return Part((row(what, "s", max(taken), mark=_MARK),), {"seconds": taken})


async def _start(setup: Setup, fleet: Fleet, gateway: Ours, number: int) -> float:
    (namespace,) = fleet.plan.namespaces
    await fleet.api.create(POLICIES, policy(fleet, namespace, range(number, number + 1)), namespace)
    client = Client(Way("127.0.0.1", gateway.http, host_of(namespace, number)))
    others = fleet.members[: _CLUSTERS - 1]
    began = time.monotonic()
    async with setup.operator(fleet):
        seen: set[str] = set()
        while len(seen) < len(others):
            if time.monotonic() > began + _PATIENCE:
                raise LabError(f"after {_PATIENCE:.0f} s only {seen or 'nobody'} answers")
            answer = await client.get()
            seen |= {m.name for m in others if answer.ok and m.owns(answer.cluster, fleet.plan.services)}
            await asyncio.sleep(0.02)
        return round(time.monotonic() - began, 2)


def _api(fleet: Fleet, number: int) -> str:
    """Match the packets to a member's API server."""
    server = yaml.safe_load(fleet.texts[number])["clusters"][0]["cluster"]["server"]
    return f"tcp dport {urlsplit(server).port}"
