"""What every part of the benchmark is given: which gateways, where, and how long it may take."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.dataplane.gateways import DYNAMIC, Gateway, HandWritten, Ours
from bench.dataplane.network import Ports
from bench.dataplane.sites import Site
from bench.dataplane.world import World
from bench.peers.ingress_nginx import IngressNginx, Root
from lab.paths import say


@dataclass(frozen=True)
class Setup:
    """One run of the benchmark; `renderers` are those of ours that are measured."""

    renderers: tuple[str, ...]
    peer: Root | None
    folder: Path
    quick: bool = False
    seed: int = 1
    ports: Ports = field(default_factory=Ports)
    pods: itertools.count[int] = field(default_factory=itertools.count)  # new ones: no address comes twice
    _serial: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def peer_name(self) -> str | None:
        """The peer's name for the rows."""
        return self.peer.name if self.peer else None

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
            if self.peer:
                await self.peer.prepare(world)
            yield world

    def ours(self, world: World, renderer: str, *, metrics: bool = False, webhook: bool = False) -> Ours:
        """Return a gateway of ours that doesn't run yet."""
        return Ours(self._place(), self.ports, world, renderer, metrics=metrics, webhook=webhook)

    def by_hand(self, world: World, sites: list[Site]) -> HandWritten:
        """Return an nginx by hand that doesn't run yet."""
        return HandWritten(self._place(), self.ports, world, sites)

    def others(self, world: World) -> list[Gateway]:
        """Return the peer, if there is one."""
        return [IngressNginx(self.peer, self._place(), self.ports, world)] if self.peer else []

    def gateways(self, world: World) -> list[Gateway]:
        """Return ours, one for each renderer, and the peer; none runs yet."""
        return [*(self.ours(world, renderer) for renderer in self.renderers), *self.others(world)]

    def _place(self) -> Path:
        return self.folder / f"gateway-{next(self._serial)}"


def tell(text: str) -> None:
    """Show how far a run is."""
    say(f"bench: {text}")
