"""A real nginx under the real supervisor, and real backends."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from tests.nginx.harness import Backend, Gateway


@pytest.fixture
async def gateway(nginx_binary: Path) -> AsyncIterator[Gateway]:
    """A supervisor with nginx, before its first configuration."""
    with tempfile.TemporaryDirectory(prefix="gw-") as name:  # short: a socket's path has 108 characters
        Path(name).chmod(0o755)
        gateway = Gateway(Path(name), nginx_binary)
        try:
            await gateway.start()
            yield gateway
        finally:
            if gateway.process is not None and gateway.process.poll() is None:
                gateway.stop()


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
    monkeypatch.setattr("gateway_operator.ingress.endpoints.is_allowed", lambda _address: True)
