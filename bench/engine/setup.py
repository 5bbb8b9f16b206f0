"""What every part of the benchmark is given: who is measured, where, and how long it may take."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.engine.operators import Contender, Operator, running
from bench.engine.world import World, site_names

_QUIET = 3.0  # seconds without work after which an operator counts as settled


@dataclass(frozen=True)
class Setup:
    """One run of the benchmark."""

    ours: Contender
    peer: Contender | None
    folder: Path
    quick: bool = False
    minutes: float = 10.0  # of the soak
    seed: int = 1
    _serial: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """Ours, then the peer if there is one."""
        return (self.ours, self.peer) if self.peer else (self.ours,)

    @property
    def peer_name(self) -> str | None:
        """The peer's name for the rows."""
        return self.peer.name if self.peer else None

    def pick(self, whole: int, quick: int) -> int:
        """Choose a size: a quick run only shows that everything works."""
        return quick if self.quick else whole

    @contextlib.asynccontextmanager
    async def world(self) -> AsyncIterator[World]:
        """Give a fresh API server."""
        async with World.fresh(self.folder / f"world-{next(self._serial)}") as world:
            yield world

    @contextlib.asynccontextmanager
    async def installed(
        self, contender: Contender, count: int, *flags: str, count_helm: bool = False
    ) -> AsyncIterator[tuple[World, Operator]]:
        """Give a running operator that has installed `count` custom resources and has nothing left to do."""
        async with self.world() as world, running(contender, world, *flags, count_helm=count_helm) as operator:
            await world.apply_sites(site_names(count))
            await world.until_deployed(count, within=60 + 3.0 * count)
            await settled(operator)
            yield world, operator


async def settled(operator: Operator, *, quiet: float = _QUIET, within: float = 120.0) -> None:
    """Wait until an operator has had no work for a moment. The peer never rests; it gets the moment."""
    if not operator.contender.ours:
        await asyncio.sleep(quiet)
        return
    deadline = time.monotonic() + within
    since = time.monotonic()
    passes = -1.0
    while time.monotonic() < deadline and time.monotonic() - since < quiet:
        seen, busy = await asyncio.to_thread(operator.passes), await asyncio.to_thread(operator.busy)
        if seen != passes or busy:
            since, passes = time.monotonic(), seen
        await asyncio.sleep(0.25)
