"""What every part of the benchmark is given: which gateways, where, and how long it may take."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from bench.dataplane.gateways import DYNAMIC, Gateway, HandWritten, Ours
from bench.dataplane.network import Ports
from bench.dataplane.sites import Site
from bench.dataplane.world import World
from bench.results import Row


class Peer(Protocol):
    """A program that serves the same Ingresses; `name` is what rows call it."""

    @property
    def name(self) -> str:
        """Its name with its version."""

    async def prepare(self, world: World) -> None:
        """Put into a world what it needs there."""

    def gateway(self, folder: Path, ports: Ports, world: World) -> Gateway:
        """Return one that doesn't run yet."""


@dataclass(frozen=True)
class Setup:
    """One run of the benchmark; `renderers` are those of ours that are measured."""

    renderers: tuple[str, ...]
    peers: tuple[Peer, ...]
    folder: Path
    quick: bool = False
    seed: int = 1
    ports: Ports = field(default_factory=Ports)
    pods: itertools.count[int] = field(default_factory=itertools.count)  # new ones: no address comes twice
    _serial: itertools.count[int] = field(default_factory=itertools.count)

    def beside(self, rows: Callable[[str | None], list[Row]]) -> list[Row]:
        """Return the rows beside the first peer, or none, and those that each further peer has a figure for."""
        names = [peer.name for peer in self.peers]
        result = rows(names[0] if names else None)
        for name in names[1:]:
            shown = (row for row in rows(name) if row.peer is not None)
            result += (replace(row, what=f"{row.what}, beside {name}", mark=None, holds=None) for row in shown)
        return result

    @property
    def best(self) -> str:
        """The renderer beside which the peer is shown."""
        return DYNAMIC if DYNAMIC in self.renderers else self.renderers[0]

    def pick(self, whole: int, quick: int) -> int:
        """Choose a size: a quick run only shows that everything works."""
        return quick if self.quick else whole

    @contextlib.asynccontextmanager
    async def world(self) -> AsyncIterator[World]:
        """Give a fresh API server and backend."""
        async with World.fresh(self.folder / f"world-{next(self._serial)}") as world:
            for peer in self.peers:
                await peer.prepare(world)
            yield world

    def ours(self, world: World, renderer: str, *, metrics: bool = False, webhook: bool = False) -> Ours:
        """Return a gateway of ours that doesn't run yet."""
        return Ours(self._place(), self.ports, world, renderer, metrics=metrics, webhook=webhook)

    def by_hand(self, world: World, sites: list[Site]) -> HandWritten:
        """Return an nginx by hand that doesn't run yet."""
        return HandWritten(self._place(), self.ports, world, sites)

    def others(self, world: World) -> list[Gateway]:
        """Return the peers."""
        return [peer.gateway(self._place(), self.ports, world) for peer in self.peers]

    def gateways(self, world: World) -> list[Gateway]:
        """Return ours, one for each renderer, and the peers; none runs yet."""
        return [*(self.ours(world, renderer) for renderer in self.renderers), *self.others(world)]

    def _place(self) -> Path:
        return self.folder / f"gateway-{next(self._serial)}"
