"""Faults under traffic: whatever breaks, requests go on being answered by what was good last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from gateway_operator.ingress.applied import Applied
from gateway_operator.ingress.children import child_pids
from lab.debian import require
from tests.nginx.conftest import running
from tests.nginx.controlled import controlled
from tests.nginx.harness import Backend, Gateway, eventually
from tests.nginx.objects import ingress, rule, secret, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


@pytest.fixture
def gateway(nginx_binary: Path, renderer: str) -> Iterator[Gateway]:
    """A gateway of this test alone, once for each renderer."""
    with running(nginx_binary, renderer) as found:
        yield found


@contextlib.asynccontextmanager
async def traffic(gateway: Gateway, host: str = "x.test") -> AsyncIterator[Counter[Any]]:
    """Requests on new connections all the time, and what came of them: a backend, a status, or an error's name."""
    seen: Counter[Any] = Counter()
    done = asyncio.Event()

    async def client() -> None:
        while not done.is_set():
            try:
                seen[await gateway.backend_of(host)] += 1
            except aiohttp.ClientError as error:
                seen[type(error).__name__] += 1
            await asyncio.sleep(0.01)

    clients = [asyncio.create_task(client()) for _ in range(2)]
    try:
        yield seen
    finally:
        done.set()
        await asyncio.gather(*clients)


async def flows(seen: Counter[Any], what: Any, number: int = 20) -> None:
    """Wait until that many more requests were answered so."""
    before = seen[what]

    async def enough() -> bool:
        return seen[what] >= before + number

    await eventually(enough)


def one(name: str, service: str) -> dict[str, Any]:
    return ingress(name, rule(f"{name}.test", ("/", "Prefix", service)))


def objects(backends: dict[str, Backend], **hosts: str) -> Any:
    """Ingresses by name, and a Service for each backend."""
    items = [one(name, service) for name, service in hosts.items()]
    return world(*items, services={name: backend.port for name, backend in backends.items()})


async def test_a_killed_worker_is_replaced(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Only its own requests end; no answer is wrong, and the data is there for the next worker."""
    async with controlled(gateway, objects(backends, x="a")) as run, traffic(gateway) as seen:
        await run.controller.state.after(Applied().token, 60)
        await flows(seen, "a")
        seen.clear()
        os.kill(child_pids(gateway.master)[0], signal.SIGKILL)
        await flows(seen, "a", 50)
        assert set(seen) <= {"a", "ServerDisconnectedError", "ClientOSError"}
        assert seen.total() - seen["a"] <= 4


async def test_a_killed_master_is_replaced(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Its workers serve until the next nginx is ready to take the ports; no answer is ever wrong."""
    async with controlled(gateway, objects(backends, x="a")) as run, traffic(gateway) as seen:
        await run.controller.state.after(Applied().token, 60)
        await run.controller.delivery.save()
        await flows(seen, "a")
        seen.clear()
        os.kill(gateway.master, signal.SIGKILL)
        await flows(seen, "a", 5)
        run.show(objects(backends, x="b"))
        await flows(seen, "b", 50)
        assert set(seen) <= {"a", "b", "ClientConnectorError", "ServerDisconnectedError", "ClientOSError"}
    assert (await gateway.supervised.status()).restarts == 1


async def test_nginx_without_its_newest_data_gets_it(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """An nginx that starts from an old snapshot is brought to the present without a change that would ask for it."""
    async with controlled(gateway, objects(backends, x="a")) as run:
        await run.controller.state.after(Applied().token, 60)
        await eventually(lambda: serves(gateway, "x.test", "a"))
        run.show(objects(backends, x="b"))
        await eventually(lambda: serves(gateway, "x.test", "b"))
        (gateway.folder / "data.snapshot").unlink(missing_ok=True)
        os.kill(gateway.master, signal.SIGKILL)
        await eventually(lambda: serves(gateway, "x.test", "b"))


async def serves(gateway: Gateway, host: str, what: Any) -> bool:
    return await gateway.backend_of(host) == what


async def test_a_lost_secret_costs_its_certificate_only(
    gateway: Gateway, backends: dict[str, Backend], authority: trustme.CA
) -> None:
    """With the Secret gone the host is served with the default certificate, and its neighbours as before."""
    made = authority.issue_cert("x.test")
    pair = (b"".join(item.bytes() for item in made.cert_chain_pems), made.private_key_pem.bytes())
    ports = {name: backend.port for name, backend in backends.items()}
    notes = {"ssl-redirect": "false"}
    secured = ingress("x", rule("x.test", ("/", "Prefix", "a")), tls=[(["x.test"], "pair")], annotations=notes)
    with_secret = world(secured, services=ports, secrets=[secret("pair", *pair)])
    async with controlled(gateway, with_secret) as run, traffic(gateway) as seen:
        await run.controller.state.after(Applied().token, 60)
        await flows(seen, "a")
        seen.clear()
        shown = gateway.certificate("x.test")
        run.show(world(secured, services=ports))
        await eventually(lambda: asyncio.sleep(0, gateway.certificate("x.test") != shown))
        await flows(seen, "a")
        run.show(with_secret)
        await eventually(lambda: asyncio.sleep(0, gateway.certificate("x.test") == shown))
        assert set(seen) == {"a"}


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The wall clock of nginx and of the controller; it stands still for nobody, and the monotonic one goes on."""
    return Clock(tmp_path, monkeypatch)


class Clock:
    """Moves the wall clock: nginx's by libfaketime, the controller's, which runs in the test, by a patch.

    libfaketime breaks Python's `time.sleep` once it leaves the monotonic clock alone, so only nginx is run with it.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        require({"faketime": "faketime"})
        self._library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        self._folder, self._patch, self._real = folder, monkeypatch, time.time
        self._offset = folder / "offset"
        self._offset.write_text("+0")

    def nginx(self, binary: Path) -> Path:
        """Return an nginx that lives by this clock."""
        env = {"LD_PRELOAD": self._library, "FAKETIME_TIMESTAMP_FILE": self._offset}
        env |= {"FAKETIME_NO_CACHE": 1, "FAKETIME_DONT_FAKE_MONOTONIC": 1}
        wrapper = self._folder / "nginx"
        words = " ".join(f"{name}={value}" for name, value in env.items())
        kept = "user root root; env FAKETIME_TIMESTAMP_FILE;"  # workers have no other variables
        wrapper.write_text(f'#!/bin/sh\nexec env {words} {binary} "$@" -g "{kept}"\n')
        wrapper.chmod(0o755)
        return wrapper

    def jump(self, hours: int) -> None:
        """Set it so many hours from now."""
        aside = self._folder / "offset.new"
        aside.write_text(f"{hours:+d}h")
        aside.replace(self._offset)
        self._patch.setattr(time, "time", lambda: self._real() + hours * 3600)


async def tells(gateway: Gateway, hours: int) -> bool:
    """Whether nginx takes the time to be so many hours from now."""
    there = parsedate_to_datetime((await gateway.get("x.test")).headers["Date"])
    return round((there - datetime.now(UTC)) / timedelta(hours=1)) == hours


@pytest.fixture
def clocked(nginx_binary: Path, renderer: str, clock: Clock) -> Iterator[Gateway]:
    """A gateway whose nginx lives by the test's clock, once for each renderer."""
    with running(clock.nginx(nginx_binary), renderer) as found:
        yield found


@pytest.mark.skipif(os.geteuid() != 0, reason="the wrapper sets the user of workers")
async def test_a_clock_that_jumps(clocked: Gateway, clock: Clock, backends: dict[str, Backend]) -> None:
    """A day forth, a day back and home again: nginx and controller delay and lose nothing."""
    async with controlled(clocked, objects(backends, x="a")) as run, traffic(clocked) as seen:
        await run.controller.state.after(Applied().token, 60)
        await flows(seen, "a")
        seen.clear()
        for hours, service in ((24, "b"), (-24, "c"), (0, "a")):
            clock.jump(hours)
            await eventually(partial(tells, clocked, hours))
            run.show(objects(backends, x=service))
            await flows(seen, service)
        assert set(seen) <= {"a", "b", "c"}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
async def test_a_full_disk(nginx_binary: Path, renderer: str, backends: dict[str, Backend], tmp_path: Path) -> None:
    """What is on disk serves on; data still moves; with room again everything is written as if nothing had been."""
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", tmp_path], check=False)
    if mount.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        gateway = Gateway(tmp_path, nginx_binary, renderer)
        try:
            await gateway.start()
            await _fill_and_free(gateway, backends)
        finally:
            gateway.end()
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


async def _fill_and_free(gateway: Gateway, backends: dict[str, Backend]) -> None:
    filler = gateway.folder / "filler"
    async with controlled(gateway, objects(backends, x="a")) as run, traffic(gateway) as seen:
        await run.controller.state.after(Applied().token, 60)
        await run.controller.delivery.save()
        await flows(seen, "a")
        seen.clear()
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        run.show(objects(backends, x="b"))
        if gateway.renderer == "dynamic":
            await flows(seen, "b")
        else:
            await asyncio.sleep(2)
            await flows(seen, "a")
        filler.unlink()
        await flows(seen, "b")
        assert set(seen) <= {"a", "b"}
        run.show(objects(backends, x="b", y="c"))
        await eventually(lambda: serves(gateway, "y.test", "c"))
        assert await eventually(lambda: _saved(run))


async def _saved(run: Any) -> bool:
    await run.controller.delivery.save()
    return not run.controller.delivery.save_failed
