"""Does anything grow, and does anybody fight, when changes, drift and an autoscaler go on for long?

A part of the custom resources is changed again and again, objects of another part are spoilt, and the Deployments of a
third part belong to real HorizontalPodAutoscalers that scale them. A fight is a scaled Deployment that is put back to
the replicas of the chart. Memory is fitted with a line after a warm-up, in which what has bounds has to fill: the few
that are changed have all the revisions that Helm keeps after two or three minutes. Flat means to grow by no more than
one arena of Python's allocator, which is the least that can be seen, and by a megabyte in each hour.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.engine import changes
from bench.engine.operators import Operator, running
from bench.engine.setup import Setup, settled
from bench.engine.world import NAMESPACE, SITES, World, eventually, is_true, site_names
from bench.parts import tell
from bench.results import Part, row
from bench.stats import slope
from gateway_operator.kube import Informer, Resource

_ARENA, _MARK_SLOPE = 1.0, 1.0  # MB, and MB an hour
_WARM_UP = 0.4  # of the time
_BLOCKS = 30  # of which the least memory counts: what a pass needs for a moment is no leak
_DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", namespaced=True)
_SCALERS = Resource("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", namespaced=True)
_CHANGED, _SPOILT, _SCALED = "changed", "spoilt", "scaled"
_SIZES = {_CHANGED: 5, _SPOILT: 15, _SCALED: 10}
_CHART_REPLICAS = 1  # of the scaled ones: an autoscaler leaves 0 alone
_COLOURS = ("red", "green", "yellow", "violet")


@dataclass
class _Soak:
    """What has happened so far."""

    world: World
    operator: Operator
    chance: random.Random
    memory: list[tuple[float, float]] = field(default_factory=list)
    fights: int = 0
    scalings: int = 0
    spoilt: int = 0
    changed: int = 0


async def measure(setup: Setup) -> Part:
    """Run for `setup.minutes`."""
    seconds = setup.pick(round(setup.minutes * 60), 40)
    async with setup.world() as world, running(setup.ours, world) as operator:
        soak = _Soak(world, operator, random.Random(setup.seed))  # noqa: S311 - no secret
        await _prepare(soak)
        await _run(soak, seconds)
        left = await _unconverged(soak)
        errors = await asyncio.to_thread(operator.metric, "controller_runtime_reconcile_errors_total")
    return _judge(soak, seconds, left, errors)


def _judge(soak: _Soak, seconds: float, left: int, errors: float) -> Part:
    rise, doubt = slope(blocks(soak.memory, seconds * _WARM_UP, seconds, _BLOCKS))
    fitted = seconds * (1 - _WARM_UP)
    allowed = _ARENA + _MARK_SLOPE * fitted / 3600
    name = f"soak of {seconds / 60:.0f} min"
    rows = (
        row(f"{name}: memory grown in its last {fitted / 60:.0f} min", "MB", rise * fitted, mark=allowed),
        row(f"{name}: memory at the end", "MB", soak.memory[-1][1]),
        row(f"{name}: fights with autoscalers", "", soak.fights, mark=0),
        row(f"{name}: scalings by autoscalers", "", soak.scalings, better="higher"),
        row(f"{name}: changes and spoilt objects", "", soak.changed + soak.spoilt, better="higher"),
        row(f"{name}: objects not as they should be 30 s after it", "", left, mark=0),
        row(f"{name}: passes that failed", "", errors),
    )
    details = {
        "slope_mb_per_hour": rise * 3600,
        "doubt_mb_per_hour": doubt * 3600,
        "memory": [[round(t), round(m, 1)] for t, m in soak.memory[:: max(1, len(soak.memory) // 200)]],
    }
    return Part(rows, details)


def blocks(samples: list[tuple[float, float]], begin: float, end: float, count: int) -> list[tuple[float, float]]:
    """Return for each of `count` equal spans of time its middle and the least value in it; empty spans are left out."""
    width = (end - begin) / count
    found: dict[int, float] = {}
    for at, value in samples:
        if begin <= at < end:
            index = int((at - begin) / width)
            found[index] = min(value, found.get(index, value))
    return [(begin + (index + 0.5) * width, value) for index, value in sorted(found.items())]


async def _prepare(soak: _Soak) -> None:
    spec = {"replicaCount": _CHART_REPLICAS, "clusterRole": {"create": False}}
    await soak.world.apply_sites([*_names(_CHANGED), *_names(_SPOILT)])
    await soak.world.apply_sites(_names(_SCALED), spec)
    await soak.world.until_deployed(sum(_SIZES.values()), within=200)
    for name in _names(_SCALED):
        await soak.world.api.create(_SCALERS, _scaler(name), NAMESPACE)
    await settled(soak.operator, within=30)


async def _run(soak: _Soak, seconds: float) -> None:
    informer = Informer(soak.world.api, _DEPLOYMENTS, namespace=NAMESPACE, on_event=_counter(soak))
    work = [informer.run(), _sample(soak), _change(soak), _spoil(soak), _scale(soak)]
    tasks = [asyncio.create_task(w) for w in work]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _sample(soak: _Soak) -> None:
    begun = time.monotonic()
    told = 0
    while True:
        soak.operator.check()
        now = time.monotonic() - begun
        soak.memory.append((now, soak.operator.own_rss()))
        if now // 60 > told:
            told = int(now // 60)
            tell(f"soak: {told} min, {soak.memory[-1][1]:.0f} MB, {soak.fights} fights, {soak.scalings} scalings")
        await asyncio.sleep(1)


async def _change(soak: _Soak) -> None:
    for n, name in enumerate(_for_ever(_CHANGED, soak)):
        patch = {"spec": {"config": {"colour": _COLOURS[n % len(_COLOURS)], "turn": str(n)}}}
        await soak.world.api.merge_patch(SITES, name, patch, NAMESPACE, field_manager=changes.SOMEBODY)
        soak.changed += 1
        await asyncio.sleep(soak.chance.uniform(2, 4))


async def _spoil(soak: _Soak) -> None:
    for name in _for_ever(_SPOILT, soak):
        await soak.chance.choice(changes.ALL).make(soak.world.api, name)
        soak.spoilt += 1
        await asyncio.sleep(soak.chance.uniform(1, 2))


async def _scale(soak: _Soak) -> None:
    """Move the bounds of the autoscalers; the controllers of the cluster do the rest, every 15 s."""
    for name in _for_ever(_SCALED, soak):
        bounds = soak.chance.choice((2, 3, 4))
        patch = {"spec": {"minReplicas": bounds, "maxReplicas": bounds}}
        await soak.world.api.merge_patch(_SCALERS, name, patch, NAMESPACE, field_manager=changes.SOMEBODY)
        await asyncio.sleep(soak.chance.uniform(1, 3))


def _counter(soak: _Soak) -> Any:
    """Return a handler that counts scalings, and returns to the replicas of the chart."""

    def seen(_type: str, obj: dict[str, Any], previous: dict[str, Any] | None) -> None:
        if previous is None or not obj["metadata"]["name"].startswith(_SCALED):
            return
        now, before = obj["spec"].get("replicas"), previous["spec"].get("replicas")
        if now != before:
            soak.scalings += now != _CHART_REPLICAS
            soak.fights += now == _CHART_REPLICAS

    return seen


async def _unconverged(soak: _Soak) -> int:
    """Count what isn't as it should be half a minute later."""
    left = 0

    async def right() -> bool:
        nonlocal left
        sites = {o["metadata"]["name"]: o for o in await soak.world.sites()}
        done = [n for n in _names(_CHANGED) if _current(sites[n])]
        whole = [
            n
            for n in _names(_SPOILT)
            if [c for c in changes.KINDS if await _whole(soak.world, c, n)] == [*changes.KINDS]
        ]
        left = _SIZES[_CHANGED] + _SIZES[_SPOILT] - len(done) - len(whole)
        return left == 0

    try:
        await eventually(right, within=30, every=1)
    except TimeoutError:
        tell(f"soak: {left} objects are not as they should be")
    return left


async def _whole(world: World, kind: Resource, site: str) -> bool:
    """Tell whether an object of a site is there and as the chart says."""
    checks = [c for c in changes.ALL if c.resource == kind]
    listing = await world.api.list(
        kind, NAMESPACE if kind.namespaced else None, field_selector=f"metadata.name={checks[0].name(site)}"
    )
    return bool(listing.items) and all(c.right(listing.items[0]) for c in checks)


def _current(site: dict[str, Any]) -> bool:
    return is_true(site, "Deployed") and site["status"].get("observedGeneration") == site["metadata"]["generation"]


def _names(prefix: str) -> list[str]:
    return site_names(_SIZES[prefix], prefix)


def _for_ever(prefix: str, soak: _Soak) -> Iterator[str]:
    while True:
        names = _names(prefix)
        soak.chance.shuffle(names)
        yield from names


def _scaler(name: str) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 2, "metrics": [metric]},
    }
