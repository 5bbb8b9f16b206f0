"""A hundred SIGKILLs and more at random points: does everything converge, and how fast?

The killing itself is a scenario of the conformance suite (tests/engine/kills.py); here it is done often, and written
down with the seed and the phase of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from bench.engine.setup import Setup
from bench.parts import tell
from bench.results import Part, Row, row
from lab import tools
from lab.apiserver import ApiCluster
from tests.engine.kills import PHASES, run_kills

_MARK_SECONDS = 30.0
_MARK_ALIVE = 20  # kills of each phase in which a helm was at work


async def measure(setup: Setup) -> Part:
    """Kill, start again and look, as often as asked for."""
    count = setup.pick(100, 3)
    folder = setup.folder / "kills"
    await asyncio.to_thread(folder.mkdir)
    cluster = await asyncio.to_thread(ApiCluster.start, folder)
    try:
        kills: list[dict[str, Any]] = await run_kills(
            count,
            setup.seed,
            cluster=cluster,
            helm=tools.binary("helm4"),
            folder=folder,
            alive_each=setup.pick(_MARK_ALIVE, 0),
        )
    finally:
        await asyncio.to_thread(cluster.stop)
    for kill in kills:
        if kill["wrong"] or kill["seconds"] is None:
            tell(f"kill {kill['number']} ({kill['phase']}): {kill['seconds']} s, wrong: {kill['wrong']}")
    return Part(tuple(judge(kills)), {"seed": setup.seed, "kills": kills})


def judge(kills: list[dict[str, Any]]) -> Iterable[Row]:
    """Sum the kills up."""
    never = float("inf")
    slowest = max(never if k["seconds"] is None else k["seconds"] for k in kills)
    yield row(f"{len(kills)} SIGKILLs: slowest recovery", "s", slowest, mark=_MARK_SECONDS)
    yield row(f"{len(kills)} SIGKILLs: what is wrong afterwards", "", sum(len(k["wrong"]) for k in kills), mark=0)
    survivors = sum(not k["helm_died"] for k in kills)
    yield row(f"{len(kills)} SIGKILLs: helm processes that outlived the operator", "", survivors, mark=0)
    for phase in PHASES:
        alive = sum(k["phase"] == phase and k["helm_alive"] for k in kills)
        yield row(f"SIGKILLs with helm at work: {phase}", "", alive, better="higher", mark=_MARK_ALIVE)
