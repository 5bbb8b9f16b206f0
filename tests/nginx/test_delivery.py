"""Data to a running nginx: deltas, full loads, a full memory, and the snapshot that outlives everybody."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway_operator.ingress.data_socket import Away, DataSocket, Full, Stale
from gateway_operator.ingress.delivery import SNAPSHOT, SOCKET, Delivery
from gateway_operator.ingress.records import commit, snapshot_keys, snapshot_version
from gateway_operator.ingress.render.common import Rendered
from tests.nginx.conftest import running
from tests.nginx.harness import Backend, Gateway, eventually
from tests.nginx.objects import ingress, rule, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


@pytest.fixture
def gateway(nginx_binary: Path) -> Iterator[Gateway]:
    """A gateway of this test alone with the dynamic renderer."""
    with running(nginx_binary, "dynamic") as found:
        yield found


def rendered(gateway: Gateway, backends: dict[str, Backend], **hosts: str) -> Rendered:
    """What the renderer makes of hosts and their backends."""
    items = [ingress(name, rule(f"{name}.test", ("/", "Prefix", service))) for name, service in hosts.items()]
    snapshot = world(*items, services={name: backend.port for name, backend in backends.items()})
    return gateway.render(gateway.compile(snapshot)[1].plan)


async def serves(gateway: Gateway, host: str, what: Any) -> None:
    """Wait until a host is answered so."""

    async def answers() -> bool:
        return await gateway.backend_of(host) == what

    await eventually(answers)


async def test_a_delta_moves_the_version_and_nothing_else(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Each change is one version more; no change is none; what nginx tells agrees with what was sent."""
    await gateway.take(rendered(gateway, backends, x="a"), {})
    first = gateway.delivery.version
    assert not await gateway.delivery.bring(dict(rendered(gateway, backends, x="a").data))
    assert await gateway.delivery.bring(rendered(gateway, backends, x="b", y="c").data)
    status = await gateway.delivery.status()
    assert (status.version, status.digest) == (first + 1, gateway.delivery.digest)
    assert status.keys == len(gateway.delivery.data)
    await serves(gateway, "x.test", "b")
    await serves(gateway, "y.test", "c")


async def test_another_controllers_version_is_loaded_over(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """A delta on a version that nginx doesn't have sets nothing; the delivery loads everything then."""
    await gateway.take(rendered(gateway, backends, x="a", z="c"), {})
    other = Delivery(gateway.folder)
    await other.bring(rendered(gateway, backends, x="b").data)
    await serves(gateway, "z.test", 404)
    with pytest.raises(Stale):
        await DataSocket(gateway.folder / SOCKET).send(commit(1, 2, "-"), start=1)
    assert await gateway.delivery.bring(rendered(gateway, backends, x="c").data)
    assert gateway.delivery.version > other.version
    await serves(gateway, "x.test", "c")


async def test_an_interrupted_load_is_no_load(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """A controller that dies within a full load leaves a digest that nobody wants, so the next one loads again."""
    data = rendered(gateway, backends, x="a").data
    await gateway.take(rendered(gateway, backends, x="a"), {})
    socket = DataSocket(gateway.folder / SOCKET)
    version = gateway.delivery.version
    await socket.send(commit(version, version + 1, "-"), start=version)
    await socket.send(b"S h:x.test 2\n{}\n", start="*", load="ab")
    after = Delivery(gateway.folder)
    assert await after.bring(data)
    await serves(gateway, "x.test", "a")
    assert (await after.status()).digest == after.digest


async def test_a_full_memory_is_an_error_and_evicts_nothing(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """What finds no room is named; all that served goes on, and endpoints still follow."""
    start = rendered(gateway, backends, x="a")
    await gateway.take(start, {})
    huge = {f"h:big{number}.test": os.urandom(200_000) for number in range(200)}
    moved = rendered(gateway, {**backends, "a": backends["b"]}, x="a").data
    with pytest.raises(Full) as full:
        await gateway.delivery.bring({**moved, **huge})
    assert full.value.key in huge
    await serves(gateway, "x.test", "b")
    status = await gateway.delivery.status()
    assert status.digest == gateway.delivery.digest
    assert set(gateway.delivery.data) == set(start.data)
    assert await gateway.delivery.bring(rendered(gateway, backends, x="c").data)
    await serves(gateway, "x.test", "c")


async def test_more_memory_is_a_reload_that_keeps_the_data(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """With another size of memory nginx starts empty, and the snapshot fills it before the first request."""
    await gateway.take(rendered(gateway, backends, x="a"), {})
    await gateway.delivery.save()
    before = gateway.delivery.version
    gateway.machine = replace(gateway.machine, data_size=2 * gateway.machine.data_size)
    await gateway.take(rendered(gateway, backends, x="a"), {})
    status = await gateway.delivery.status()
    assert status.capacity == gateway.machine.data_size
    assert status.version == before
    assert await gateway.backend_of("x.test") == "a"


async def test_nginx_comes_back_with_the_snapshot(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """A killed master, and a restarted supervisor, serve the same data while no controller runs."""
    await gateway.take(rendered(gateway, backends, x="a", y="b"), {})
    await gateway.delivery.bring(rendered(gateway, backends, x="c", y="b").data)
    await gateway.delivery.save()
    assert snapshot_version(gateway.folder / SNAPSHOT) == gateway.delivery.version
    assert "h:x.test" in set(snapshot_keys(gateway.folder / SNAPSHOT))
    os.kill(gateway.master, signal.SIGKILL)
    await eventually(lambda: _restarts(gateway, 1))
    await serves(gateway, "x.test", "c")
    assert gateway.stop() == 0
    await gateway.start()
    await serves(gateway, "x.test", "c")
    await serves(gateway, "y.test", "b")
    status = await gateway.delivery.status()
    assert (status.version, status.digest) == (gateway.delivery.version, gateway.delivery.digest)
    gateway.delivery.doubt()
    assert not await gateway.delivery.bring(gateway.delivery.data)


async def test_others_may_use_nothing(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Sockets and files are for user and group alone, after the first start, a reload, and the start after a crash."""

    def open_to_others() -> dict[str, str]:
        found = [gateway.folder / name for name in (SOCKET, SNAPSHOT, "supervisor.sock")]
        found += [path for folder in gateway.folder.glob("gen-*") for path in (folder, *folder.rglob("*"))]
        assert len(found) > 10
        modes = {str(path.relative_to(gateway.folder)): path.lstat().st_mode for path in found}
        return {name: stat.filemode(mode) for name, mode in modes.items() if stat.S_IMODE(mode) & 0o007}

    async def is_closed() -> bool:
        return (gateway.folder / SOCKET).exists() and open_to_others() == {}

    for service in ("a", "b"):
        await gateway.take(rendered(gateway, backends, x=service), {})
        await gateway.delivery.save()
        assert open_to_others() == {}
    socket = (gateway.folder / SOCKET).stat().st_mode
    assert (stat.S_ISSOCK(socket), stat.S_IMODE(socket)) == (True, 0o660)
    os.kill(gateway.master, signal.SIGKILL)
    await eventually(lambda: _restarts(gateway, 1))
    await eventually(is_closed)
    assert (await gateway.delivery.status()).keys == len(gateway.delivery.data)


async def _restarts(gateway: Gateway, number: int) -> bool:
    status = await gateway.supervised.status()
    return status.running and status.restarts == number


@pytest.mark.parametrize("content", [b"", b"S h:x.test 5\nhal", b"V * 7\n", b"\x00\xff" * 100])
async def test_a_broken_snapshot_is_no_hindrance(
    gateway: Gateway, backends: dict[str, Backend], content: bytes
) -> None:
    """Nginx starts without it, and the controller loads everything."""
    await gateway.take(rendered(gateway, backends, x="a"), {})
    assert gateway.stop() == 0
    (gateway.folder / SNAPSHOT).write_bytes(content)
    await gateway.start()
    after = Delivery(gateway.folder)
    await eventually(lambda: after.bring(gateway.delivery.data))
    await serves(gateway, "x.test", "a")


async def test_without_nginx_there_is_no_socket(tmp_path: Path) -> None:
    """Nobody there, and something else there, are both `Away`."""
    delivery = Delivery(tmp_path)
    assert not delivery.reachable
    with pytest.raises(Away):
        await delivery.bring({"g": b"1"})
    server = await asyncio.start_unix_server(lambda _, writer: writer.close(), tmp_path / SOCKET)
    with pytest.raises(Away):
        await delivery.bring({"g": b"1"})
    server.close()
