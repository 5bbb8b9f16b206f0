"""Servers that every folder of tests shares: one real API server a test process, a namespace a test.

Nothing here starts before a test asks for it.
"""

from __future__ import annotations

import contextlib
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway_operator.kube import Api
from gateway_operator.names import short_name
from lab import tools
from lab.apiserver import ApiCluster
from lab.servers.elasticsearch import Elasticsearch

ROOT = Path(__file__).resolve().parent.parent


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
