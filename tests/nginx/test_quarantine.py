"""The net below validation, with a real nginx: a value that slips through is found, left out and named."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway_operator.ingress import annotations
from gateway_operator.ingress.controller import Controller
from gateway_operator.ingress.events import Reporter
from gateway_operator.ingress.metrics import Metrics
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.render import values
from gateway_operator.ingress.snapshot import Snapshot
from tests.nginx.harness import Backend, Gateway, eventually
from tests.nginx.objects import ingress, rule, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


class FixedSources:
    """Objects that a test changes by hand, in the place of informers."""

    waiting_for = ""
    config_object: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, snapshot: Snapshot) -> None:
        self.current = snapshot

    async def synced(self) -> None:
        """Nothing to wait for."""

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


async def test_what_slips_through_is_quarantined(
    gateway: Gateway, backends: dict[str, Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hole in a grammar costs the Ingress that uses it, not its neighbours; its correction brings it back."""
    monkeypatch.setitem(annotations._READERS, "proxy-read-timeout", str)
    monkeypatch.setattr(values, "duration", values.Typed)
    bad = ingress("bad", rule("bad.test", ("/", "Prefix", "a")), annotations={"proxy-read-timeout": "soon"})
    good = ingress("good", rule("good.test", ("/", "Prefix", "a")))
    sources = FixedSources(world(bad, good, services={"a": backends["a"].port}))
    notebook = Notebook()
    reporter = Reporter(notebook)  # type: ignore[arg-type]
    reporter.start_speaking()
    options = IngressOptions(http_port=gateway.http, https_port=gateway.https, status_port=gateway.status)
    metrics = Metrics(controller_class="c", namespace="n", pod="p", version="1")
    controller = Controller(options, sources, gateway.supervised, reporter, metrics)  # type: ignore[arg-type]
    running = asyncio.create_task(controller.run())

    async def good_serves() -> bool:
        return await gateway.backend_of("good.test") == "a"

    async def is_told() -> bool:
        return [(name, reason) for name, reason, _ in notebook.told] == [("bad", "Quarantined")]

    async def bad_serves() -> bool:
        return await gateway.backend_of("bad.test") == "a"

    try:
        await eventually(good_serves)
        assert await gateway.backend_of("bad.test") == 404
        await eventually(is_told)
        assert "invalid value" in notebook.told[0][2]
        mended = ingress("bad", rule("bad.test", ("/", "Prefix", "a")), annotations={"proxy-read-timeout": "7s"})
        mended["metadata"]["uid"] = bad["metadata"]["uid"]
        sources.current = world(mended, good, services={"a": backends["a"].port})
        controller.wake()
        await eventually(bad_serves)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
