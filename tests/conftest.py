"""Servers that every folder of tests shares: one real API server a test process, a namespace a test.

Nothing here starts before a test asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from gateway_operator.kube import Api
from gateway_operator.names import short_name
from lab import tools
from lab.apiserver import ApiCluster
from lab.servers.elasticsearch import Elasticsearch
from tests import forked

# how long an example takes says nothing on a busy machine
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")

# Clusters, helm and kubectl are Go programs that spend a tenth of a test run collecting little garbage; now they do
# so once four times as much as lives is garbage, or there is half a gigabyte of both.
os.environ.setdefault("GOGC", "400")
os.environ.setdefault("GOMEMLIMIT", "512MiB")

# collection makes a quarter of a million objects that stay: to look through them again and again is a fifth of its time
gc.disable()

ROOT = Path(__file__).resolve().parent.parent
# what takes longest comes first, so that no process is left alone with it at the end; files stand before their folder
FIRST = (
    "lab/test_cluster.py",
    "e2e/test_multicluster.py",
    "e2e/test_gateways.py",
    "e2e/test_no_request_lost.py",
    "e2e/test_takeover.py",
    "e2e/test_upgrade.py",
    "e2e",
    "engine",
    "apiserver",
    "web",
    "observe",
    "nginx",
    "lab",
)
# the only folders that may have tests marked e2e, as the Makefile has it
PODS = {ROOT / "tests/e2e", ROOT / "tests/lab"}


class PatientLoop(asyncio.SelectorEventLoop):
    """Ends when its connections have: TLS says goodbye first, which takes a busy machine more than the last rounds."""

    def close(self) -> None:
        """Wait for what is being closed; what nobody closes is still found, as a ResourceWarning."""
        if not self.is_closed():
            self.run_until_complete(self._ends())
        super().close()

    async def _ends(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while any(one._sock for one in list(self._transports.values())):  # type: ignore[attr-defined]
                    await asyncio.sleep(0.005)


def pytest_asyncio_loop_factories() -> dict[str, type[PatientLoop]]:
    """Name the loop of all tests."""
    return {"patient": PatientLoop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests in the order of FIRST, and leave files within a folder as they are."""
    order = {ROOT / "tests" / path: number for number, path in enumerate(FIRST)}
    strays = [i.nodeid for i in items if i.get_closest_marker("e2e") and not PODS & {*i.path.parents}]
    assert not strays, f"the Makefile looks elsewhere for tests that need pods: {strays}"

    def rank(item: pytest.Item) -> int:
        return min((order[path] for path in (item.path, *item.path.parents) if path in order), default=len(order))

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Collect garbage from now on, but look no more at what is there already."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Take back what a command sets up for its process: the stderr that it logs to closes with its test."""
    root = logging.getLogger()
    level = root.level
    yield
    root.handlers[:] = [h for h in root.handlers if not isinstance(h.formatter, structlog.stdlib.ProcessorFormatter)]
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _forks() -> Iterator[None]:
    """End the processes that programs were forked from."""
    yield
    forked.close_all()


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


@pytest.fixture(scope="session")
def namespaces(api_cluster: ApiCluster) -> Callable[..., None]:
    """Make requests about namespaces as administrator: a kubectl each would be a tenth of a second of processor."""
    context = ssl.create_default_context(cafile=str(api_cluster.ca_file))
    context.load_cert_chain(api_cluster.control.pki / "client-admin.crt", api_cluster.control.pki / "client-admin.key")

    def ask(method: str, name: str = "", body: bytes | None = None) -> None:
        url = f"{api_cluster.url}/api/v1/namespaces{'/' * bool(name)}{name}"
        asked = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
        try:
            urllib.request.urlopen(asked, timeout=60, context=context).close()
        except urllib.error.HTTPError as error:
            with error:
                raise

    return ask


@pytest.fixture
def namespace(namespaces: Callable[..., None], request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for this test alone."""
    test = "".join(c if c.isalnum() else "-" for c in request.node.name.lower()).strip("-")
    name = short_name(f"t-{uuid.uuid4().hex[:6]}-{test}", 50).strip("-")
    namespaces("POST", body=json.dumps({"metadata": {"name": name}}).encode())
    yield name
    with contextlib.suppress(urllib.error.URLError):  # the test may have deleted it
        namespaces("DELETE", name)


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
