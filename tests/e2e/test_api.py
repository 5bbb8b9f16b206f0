"""The API on a cluster whose pods run: what only a real kubelet shows."""

from __future__ import annotations

import asyncio
import urllib.request

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab.demo import api
from lab.demo.story import install_operator
from lab.demo.target import Target
from tests.e2e import objects as o

GATEWAY = "kubesphere-router-shop"


@pytest.fixture
def served(clean: Target) -> api.Api:
    """The API, installed from the operator's chart; it stays, for no other test minds it."""
    api.prepare(clean)
    install_operator(clean, *api.VALUES)
    return api.find(clean)


def total(exposition: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_followed_log_comes_from_the_kubelet_and_ends_with_its_client(clean: Target, served: api.Api) -> None:
    """Access lines arrive as they are written; when the client leaves, nobody follows the log any more."""
    o.project(clean, "shop")
    clean.kubectl("apply", "-f", "-", text=o.gateway(GATEWAY, project="shop"))
    o.ready(clean, GATEWAY)
    way = o.route(clean, GATEWAY, "shop")
    o.answered(clean, way)
    viewer = api.user(clean, "viewer", "shop", "view")
    (pod,) = o.pods(clean, f"{GATEWAY}-ingress")
    path = f"{api.GATEWAYS}/namespaces/shop/gateways/{GATEWAY}/pods/{pod['metadata']['name']}/log"

    def followers() -> tuple[float, float]:
        """Log streams that the API has open, and log requests that the API server has open."""
        with urllib.request.urlopen(served.metrics_url, timeout=10) as answer:
            ours = total(answer.read().decode(), "gateway_api_streams")
        theirs = clean.kubectl("get", "--raw", "/metrics")
        return ours, total(theirs, "apiserver_longrunning_requests", resource="pods", subresource="log")

    async def follow() -> str:
        params = {"container": "nginx", "follow": "true", "tailLines": "0"}
        headers = {"Authorization": f"Bearer {viewer.token}"}
        connector = aiohttp.TCPConnector(ssl=served.context())
        async with (
            aiohttp.ClientSession(served.url, connector=connector, headers=headers) as session,
            session.get(path, params=params) as answer,
        ):
            assert answer.status == 200, await answer.text()
            await asyncio.to_thread(o.answered, clean, way)
            async with asyncio.timeout(60):
                line = (await answer.content.readline()).decode()
            assert await asyncio.to_thread(followers) == (1, 1)
            return line

    assert '"GET /demo HTTP/1.1" 200' in asyncio.run(follow())
    clean.wait("nobody follows the log", lambda: followers() == (0, 0))
