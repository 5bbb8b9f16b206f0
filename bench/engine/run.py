"""Runs the parts that were asked for, and keeps what each found as soon as it is found.

Parts in which time is measured run alone. Those that count, or look at memory, share the machine: they take long and
mostly wait. A part that breaks costs only its own rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from bench.engine import ORDER, coldstart, drift, install, kills, memory, rest, soak
from bench.engine.operators import Contender, ours, peer
from bench.engine.setup import Setup
from bench.parts import run_part, tell
from bench.peers import helm_operator
from bench.results import Part, Results

Measure = Callable[[Setup], Awaitable[Part]]
PARTS: Mapping[str, Measure] = {
    "install": install.measure,
    "rest": rest.measure,
    "drift": drift.measure,
    "memory": memory.measure,
    "coldstart": coldstart.measure,
    "kills": kills.measure,
    "soak": soak.measure,
}
_TOGETHER = frozenset({"memory", "kills", "soak"})


def run(
    results: Results, only: Iterable[str], *, peer_source: Path | None, quick: bool, minutes: float, seed: int
) -> list[str]:
    """Measure the parts in `only`; returns the names of those that broke."""
    other = _peer(peer_source)
    broken: list[str] = []

    async def one(part: str) -> None:
        def measure(folder: Path) -> Awaitable[Part]:
            return PARTS[part](Setup(ours(), other, folder, quick=quick, minutes=minutes, seed=seed))

        if not await run_part(results, part, measure):
            broken.append(part)

    async def several(parts: Iterable[str]) -> None:
        await asyncio.gather(*map(one, parts))

    for group in groups(only):
        asyncio.run(several(group))
    return broken


def groups(only: Iterable[str]) -> list[list[str]]:
    """Put parts into the order in which they run; what is in one list runs at the same time."""
    parts = sorted(only, key=ORDER.index)
    shared = [part for part in parts if part in _TOGETHER]
    return [*([part] for part in parts if part not in _TOGETHER), *([shared] if shared else [])]


def _peer(source: Path | None) -> Contender | None:
    if source is None:
        tell("no peer: name a clone of operator-sdk by --peer-helm-operator to measure beside it")
        return None
    return peer(helm_operator.binary(source), helm_operator.version(source))
