"""Runs the parts that were asked for, one after the other, in a network of its own.

What each found is kept as soon as it is found; a part that breaks costs only its own rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.dataplane import network, wrk
from bench.multicluster import ORDER, accuracy, changes, cut, size, start
from bench.multicluster.setup import Setup
from bench.parts import run_part, until_term
from bench.results import Part, Results
from lab import tools
from lab.control import BASE_TOOLS
from lab.debian import require
from lab.errors import LabError
from lab.nginx import nginx

Measure = Callable[[Setup], Coroutine[Any, Any, Part]]
PARTS: Mapping[str, Measure] = {
    "changes": changes.measure,
    "cut": cut.measure,
    "start": start.measure,
    "size": size.measure,
    "accuracy": accuracy.measure,
}


_LIMITS = {
    "changes": 900.0,
    "cut": 600.0,
    "start": 600.0,
    "size": 4500.0,
    "accuracy": 1200.0,
}  # seconds; on two busy cores


async def _limited(part: str, setup: Setup) -> Part:
    """Measure a part. Raises LabError when it takes longer than it ever should."""
    try:
        async with asyncio.timeout(_LIMITS[part]) as limit:
            return await PARTS[part](setup)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise LabError(f"{part} took more than {_LIMITS[part]:.0f} s") from error


def run(results: Results, only: Iterable[str], *, quick: bool, seed: int) -> list[str]:
    """Measure the parts in `only`; returns the names of those that broke."""
    require({"ip": "iproute2", "sysctl": "procps", "nft": "nftables"})
    tools.binaries([*BASE_TOOLS, "helm4"])
    nginx()
    wrk.program()
    network.enter()
    broken = []
    for part in sorted(only, key=ORDER.index):

        def measure(folder: Path, part: str = part) -> Coroutine[Any, Any, Part]:
            return _limited(part, Setup(folder, quick=quick, seed=seed))

        if not asyncio.run(until_term(run_part(results, part, measure))):
            broken.append(part)
    return broken
