"""What does an operator hold in memory: with a hundred releases, and beside twenty thousand objects of others?"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Iterator
from typing import Any

from bench.engine.operators import Contender, Operator, running
from bench.engine.plant import plant
from bench.engine.setup import Setup, settled
from bench.engine.world import World, together
from bench.parts import tell
from bench.results import Part, row
from bench.stats import median
from gateway_operator.kube import Resource

_MARK_MORE = 5.0
_FOREIGN = "foreign"
_SECRET = Resource("", "v1", "Secret", "secrets", namespaced=True)
_CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)


async def measure(setup: Setup) -> Part:
    """Look at both operators."""
    count, foreign = setup.pick(100, 10), setup.pick(20_000, 200)
    found: dict[bool, tuple[float, float]] = {}
    for contender in setup.contenders:
        found[contender.ours] = await _look(setup, contender, count, foreign)
        tell(f"{contender.name}: {found[contender.ours]} MB")
    own, other = found[True], found.get(False)
    name = setup.peer_name
    more = row(
        f"memory that {foreign:,} foreign objects add",
        "MB",
        own[1] - own[0],
        other[1] - other[0] if other else None,
        peer_name=name,
        mark=_MARK_MORE,
    )
    few = row(f"memory with {count} custom resources", "MB", own[0], other[0] if other else None, peer_name=name)
    return Part((few, more))


async def _look(setup: Setup, contender: Contender, count: int, foreign: int) -> tuple[float, float]:
    """Return the memory before and after the foreign objects."""
    async with setup.world() as world:
        await plant(world, contender, count)
        async with running(contender, world) as operator:
            await settled(operator)
            before = await usual(operator, setup.pick(40, 2))
            await _crowd(world, foreign)
            return before, await usual(operator, setup.pick(40, 2))


async def usual(operator: Operator, seconds: float) -> float:
    """Return the median of the resident memory over a while, in MB."""
    seen = []
    for _ in range(round(seconds / 0.5)):
        seen.append(operator.rss())
        await asyncio.sleep(0.5)
    return median(seen)


async def _crowd(world: World, count: int) -> None:
    """Create ConfigMaps and Secrets of a kilobyte that no release has made."""
    await asyncio.to_thread(world.cluster.kubectl, "create", "namespace", _FOREIGN)
    await together(world.api.create(resource, obj, _FOREIGN) for resource, obj in _foreign(count))


def _foreign(count: int) -> Iterator[tuple[Resource, dict[str, Any]]]:
    chance = random.Random(count)  # noqa: S311 - no secret
    for n in range(count):
        text = base64.b64encode(chance.randbytes(700)).decode()
        meta = {"name": f"foreign-{n:05d}", "namespace": _FOREIGN, "labels": {"app": f"app-{n % 100}"}}
        resource = _SECRET if n % 2 else _CONFIG_MAP
        yield resource, {"apiVersion": "v1", "kind": resource.kind, "metadata": meta, "data": {"blob": text}}
