"""Servers that every folder of tests shares: one real API server a test process, a namespace a test.

Nothing here starts before a test asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from gateway_operator.kube import Api
from gateway_operator.names import short_name
from lab import tools
from lab.apiserver import ApiCluster
from lab.servers.elasticsearch import Elasticsearch

# how long an example takes says nothing on a busy machine
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")

ROOT = Path(__file__).resolve().parent.parent
# folders whose files take longest come first, so that no process is left alone with one of them at the end
FIRST = ("e2e", "engine", "apiserver", "web", "observe", "nginx", "lab")


class PatientLoop(asyncio.SelectorEventLoop):
    """Ends when its connections have: TLS says goodbye first, which takes a busy machine more than the last rounds."""

    def close(self) -> None:
        """Wait for what is being closed; what nobody closes is still found, as a ResourceWarning."""
        if not self.is_closed():
            self.run_until_complete(self._ends())
        super().close()

    async def _ends(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while any(one._sock for one in list(self._transports.values())):  # type: ignore[attr-defined]
                    await asyncio.sleep(0.005)


def pytest_asyncio_loop_factories() -> dict[str, type[PatientLoop]]:
    """Name the loop of all tests."""
    return {"patient": PatientLoop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests in the order of their folders, and leave files within a folder as they are."""
    order = {ROOT / "tests" / folder: number for number, folder in enumerate(FIRST)}
    items.sort(key=lambda item: min((n for folder, n in order.items() if folder in item.path.parents), default=9))


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Take back what a command sets up for its process: the stderr that it logs to closes with its test."""
    root = logging.getLogger()
    level = root.level
    yield
    root.handlers[:] = [h for h in root.handlers if not isinstance(h.formatter, structlog.stdlib.ProcessorFormatter)]
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def api_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    """A real API server with its controllers, for tests that need no pods."""
    cluster = ApiCluster.start(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


@pytest.fixture
async def api(api_cluster: ApiCluster) -> AsyncIterator[Api]:
    """Our client, as administrator."""
    client = await Api.connect(api_cluster.kubeconfig)
    yield client
    await client.close()


@pytest.fixture
def namespace(api_cluster: ApiCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for this test alone."""
    test = "".join(c if c.isalnum() else "-" for c in request.node.name.lower()).strip("-")
    name = short_name(f"t-{uuid.uuid4().hex[:6]}-{test}", 50).strip("-")
    api_cluster.kubectl("create", "namespace", name)
    yield name
    with contextlib.suppress(subprocess.CalledProcessError):  # the test may have deleted it
        api_cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def elasticsearch() -> Iterator[Elasticsearch]:
    """A real Elasticsearch, which all test processes share; indices are a test's own (`tests/observe/logs`)."""
    with Elasticsearch.shared() as server:
        yield server


@pytest.fixture(scope="session")
def helm_binary() -> Path:
    """The helm that the operator uses."""
    return tools.binary("helm4")


@pytest.fixture(scope="session")
def helm3_binary() -> Path:
    """Helm 3, which must work too."""
    return tools.binary("helm3")


@pytest.fixture(scope="session")
def nginx_binary() -> Path:
    """The nginx of the image, made runnable on this machine."""
    from lab.nginx import nginx

    return nginx()
