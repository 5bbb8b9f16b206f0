"""The loop over a real nginx: what is data goes without a reload, what is files goes without a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_operator.ingress.applied import Applied
from gateway_operator.ingress.snapshot import Snapshot
from tests.nginx.conftest import running
from tests.nginx.controlled import controlled
from tests.nginx.harness import Backend, Gateway, eventually
from tests.nginx.objects import ingress, rule, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


@pytest.fixture
def gateway(nginx_binary: Path, renderer: str) -> Iterator[Gateway]:
    """A gateway of this test alone, once for each renderer."""
    with running(nginx_binary, renderer) as found:
        yield found


def one(name: str, service: str, **annotations: str) -> dict[str, Any]:
    """An Ingress for `<name>.test`."""
    notes = {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(name, rule(f"{name}.test", ("/", "Prefix", service)), annotations=notes)


def shown(backends: dict[str, Backend], *ingresses: dict[str, Any]) -> Snapshot:
    """These Ingresses, and a Service for each backend."""
    return world(*ingresses, services={name: backend.port for name, backend in backends.items()})


async def serves(gateway: Gateway, host: str, what: str | int) -> None:
    """Wait until a host is answered so."""

    async def answers() -> bool:
        return await gateway.backend_of(host) == what

    await eventually(answers)


async def test_changes_of_data_cost_no_reload(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Hosts, endpoints and removals reach nginx in both renderers; with the dynamic one its workers stay."""
    first = one("first", "a")
    async with controlled(gateway, shown(backends, first)) as run:
        await serves(gateway, "first.test", "a")
        before = await run.controller.state.after(Applied().token, 60)
        run.show(shown(backends, first, one("second", "b")))
        await serves(gateway, "second.test", "b")
        run.show(world(first, services={"a": backends["c"].port}))
        await serves(gateway, "first.test", "c")
        await serves(gateway, "second.test", 404)
        assert run.state.token != before.token
        assert (run.state.generation == before.generation) == (gateway.renderer == "dynamic")
        assert (run.state.data_version > before.data_version) == (gateway.renderer == "dynamic")


async def test_a_new_profile_is_taken_without_a_lost_request(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """A route whose own text changes is answered at every moment, by the same backend."""
    lost: list[Any] = []
    done = asyncio.Event()

    async def client() -> None:
        while not done.is_set():
            answer = await gateway.backend_of("x.test")
            if answer != "a":
                lost.append(answer)
            await asyncio.sleep(0.005)

    async with controlled(gateway, shown(backends, one("x", "a"))) as run:
        await serves(gateway, "x.test", "a")
        clients = [asyncio.create_task(client()) for _ in range(2)]
        for size in ("2m", "3m"):
            before = run.state.token
            run.show(shown(backends, one("x", "a", proxy_body_size=size)))
            after = await run.controller.state.after(before, 60)
            assert after.token != before
            await asyncio.sleep(0.3)
        done.set()
        await asyncio.gather(*clients)
    assert lost == []


async def test_a_controller_that_starts_again_reloads_nothing(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """The next controller finds what the last one left, takes it over, and goes on from its version."""
    objects = shown(backends, one("x", "a"))
    async with controlled(gateway, objects) as run:
        await serves(gateway, "x.test", "a")
        before = await run.controller.state.after(Applied().token, 60)
    workers = gateway.master
    async with controlled(gateway, objects) as run:
        after = await run.controller.state.after(run.state.token, 60)
        assert after.generation == before.generation
        assert after.data_version == before.data_version
        run.show(shown(backends, one("x", "b")))
        await serves(gateway, "x.test", "b")
        assert gateway.master == workers
        if gateway.renderer == "dynamic":
            assert run.state.data_version > before.data_version


async def test_a_burst_is_one_reload(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Many changes of files within a moment become one or two generations."""
    async with controlled(gateway, shown(backends)) as run:
        await run.controller.state.after(Applied().token, 60)
        before = set(gateway.folder.glob("gen-*"))
        for number in range(10):
            many = [one(f"h{item}", "a", proxy_body_size=f"{item + 2}m") for item in range(number + 1)]
            run.show(shown(backends, *many))
            await asyncio.sleep(0)
        await serves(gateway, "h9.test", "a")
        assert 1 <= len(set(gateway.folder.glob("gen-*")) - before) <= 2


async def test_waiting_for_what_is_applied(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """A token is good until something else is applied; a time-out returns it again."""
    async with controlled(gateway, shown(backends, one("x", "a"))) as run:
        await serves(gateway, "x.test", "a")
        await eventually(lambda: asyncio.sleep(0, run.state.hosts == 1))
        state = run.controller.state
        assert (await state.after(state.now.token, 0.05)).token == state.now.token
        waiting = asyncio.create_task(state.after(state.now.token, 60))
        run.show(shown(backends, one("x", "a"), one("y", "b")))
        found = await waiting
        assert found.hosts == 2
        assert found.as_json()["token"] == found.token
