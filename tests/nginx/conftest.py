"""A real nginx under the real supervisor, and real backends."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trustme

from tests.nginx.dynamic_harness import Nginx
from tests.nginx.harness import Backend, Gateway


@contextmanager
def running(binary: Path, renderer: str = "static") -> Iterator[Gateway]:
    """A supervisor with nginx, before its first configuration."""
    with tempfile.TemporaryDirectory(prefix="gw-") as name:  # short: a socket's path has 108 characters
        Path(name).chmod(0o755)
        gateway = Gateway(Path(name), binary, renderer)
        try:
            asyncio.run(gateway.start())
            yield gateway
        finally:
            gateway.end()


@pytest.fixture
def gateway(nginx_binary: Path) -> Iterator[Gateway]:
    """A gateway of this test alone, with the static renderer."""
    with running(nginx_binary) as gateway:
        yield gateway


class Served:
    """One running gateway for each renderer, which tests serve their worlds with, one after the other."""

    def __init__(self, binary: Path, stack: ExitStack) -> None:
        self._binary = binary
        self._stack = stack
        self._running: dict[str, Gateway] = {}

    def by(self, renderer: str) -> Gateway:
        """The gateway of a renderer; a new one where the last test killed it."""
        found = self._running.get(renderer)
        if found is None or found.process is None or found.process.poll() is not None:
            found = self._running[renderer] = self._stack.enter_context(running(self._binary, renderer))
        return found


@pytest.fixture(scope="session")
def all_served(nginx_binary: Path) -> Iterator[Served]:
    """The gateways that tests share."""
    with ExitStack() as stack:
        yield Served(nginx_binary, stack)


@pytest.fixture(params=["static", "dynamic"])
def renderer(request: pytest.FixtureRequest) -> str:
    """Which renderer a test runs over."""
    return str(request.param)


@pytest.fixture
def served(all_served: Served, renderer: str) -> Gateway:
    """A shared gateway; the test runs once for each renderer."""
    return all_served.by(renderer)


@pytest.fixture
async def backends() -> AsyncIterator[dict[str, Backend]]:
    """Three backends called a, b and c."""
    found = {name: Backend(name) for name in ("a", "b", "c")}
    for backend in found.values():
        await backend.start()
    yield found
    for backend in found.values():
        await backend.stop()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority for tests."""
    return trustme.CA()


@pytest.fixture
def local_addresses_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends of these tests live on loopback, which the real rule refuses."""
    monkeypatch.setattr("gateway_operator.ingress.endpoints.is_routable", lambda _address: True)


@pytest.fixture
async def nginx(nginx_binary: Path) -> AsyncIterator[Nginx]:
    """A bare nginx for plans of the dynamic renderer."""
    from lab.nginx import modules

    with tempfile.TemporaryDirectory(prefix="gw-") as name:
        Path(name).chmod(0o755)
        nginx = Nginx(Path(name), nginx_binary, modules())
        try:
            yield nginx
        finally:
            await nginx.stop()
