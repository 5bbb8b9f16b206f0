"""A backend that is down is named by /readyz, and costs nothing but its own routes."""

from __future__ import annotations

import pytest

from lab.control import free_ports
from tests.web.conftest import People, Served


@pytest.fixture
def half(with_crds, account, tmp_path):
    """An API whose Elasticsearch and Prometheus don't listen."""
    elastic, prometheus = free_ports(2)
    backends = {
        "elasticsearch": {"urls": [f"http://127.0.0.1:{elastic}"]},
        "prometheus": {"url": f"http://127.0.0.1:{prometheus}"},
    }
    running = Served(with_crds, tmp_path, {"kubeconfig": account, "observability": backends})
    running.start()
    yield running
    running.stop()


async def test_readyz_names_the_backends_that_are_down(half, empty):
    """Both are named, the API is ready, and gateways are told as ever."""
    answer = await half.user().get("/readyz")
    assert answer.status == 200
    assert set(answer.json["down"]) == {"elasticsearch", "prometheus"}
    assert "127.0.0.1" not in answer.text
    listed = await People(half).admin().get("/gateways")
    assert (listed.status, listed.json["totalItems"]) == (200, 0)
