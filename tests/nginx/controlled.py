"""A real controller with a real nginx, whose objects a test changes by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from gateway_operator.ingress.controller import Controller
from gateway_operator.ingress.events import Reporter
from gateway_operator.ingress.graph import Graph
from gateway_operator.ingress.metrics import Metrics
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.snapshot import Snapshot
from tests.nginx.harness import Gateway


class FixedSources:
    """Objects that a test changes by hand, in the place of informers."""

    waiting_for = ""
    config_object: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, snapshot: Snapshot) -> None:
        self.current = snapshot

    async def synced(self) -> None:
        """Nothing to wait for."""

    async def follow(self, graph: Graph) -> bool:  # noqa: ARG002
        """All objects are here already."""
        return False

    def snapshot(self) -> Snapshot:
        """What the test put here."""
        return self.current


class Notebook:
    """Writes down what users would be told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def event(self, target: Any, *, type_: str, reason: str, message: str) -> None:  # noqa: ARG002
        """Remember one Event."""
        self.told.append((target.name, reason, message))

    def reasons(self, name: str) -> list[str]:
        """The reasons of the Events about an object."""
        return [reason for told, reason, _ in self.told if told == name]


class Controlled:
    """The controller of one gateway."""

    def __init__(self, gateway: Gateway, snapshot: Snapshot, **options: Any) -> None:
        self.gateway = gateway
        self.sources = FixedSources(snapshot)
        self.notebook = Notebook()
        reporter = Reporter(self.notebook)  # type: ignore[arg-type]
        reporter.start_speaking()
        self.options = IngressOptions(
            http_port=gateway.http,
            https_port=gateway.https,
            status_port=gateway.status,
            configmap="gw/config",
            run_dir=gateway.folder,
            renderer=gateway.renderer,
            **options,
        )
        self.metrics = Metrics(controller_class="c", namespace="n", pod="p", version="1")
        parts = (self.options, self.sources, gateway.supervised, reporter, self.metrics)
        self.controller = Controller(*parts)  # type: ignore[arg-type]

    def show(self, snapshot: Snapshot) -> None:
        """Change the objects."""
        self.sources.current = snapshot
        self.controller.wake()

    @property
    def state(self) -> Any:
        """What the controller says that nginx has."""
        return self.controller.state.now


@contextlib.asynccontextmanager
async def controlled(gateway: Gateway, snapshot: Snapshot, **options: Any) -> AsyncIterator[Controlled]:
    """Run a controller; its end is that of a killed one, without a last word to nginx."""
    found = Controlled(gateway, snapshot, **options)
    running = asyncio.create_task(found.controller.run())
    try:
        yield found
    finally:
        if running.done():
            await running  # says why it ended
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
