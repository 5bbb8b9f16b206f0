"""The data plane's faults, whole: processes as in a pod, and an API server that fails them."""

from __future__ import annotations

import asyncio
import time

import pytest

from lab.apiserver import ApiCluster
from tests.apiserver.ingress_harness import Stage, ingress, ready, serves
from tests.nginx.harness import eventually


async def test_traffic_outlives_the_api_server_and_the_controller(api_cluster: ApiCluster, stage: Stage) -> None:
    """With the API server away nothing changes for clients; when it is back, changes are followed again."""
    world, gateway, controller = stage.world, stage.gateway, stage.controller
    api_cluster.kill_apiserver()
    try:
        for _ in range(20):
            assert await gateway.backend_of("one.test") == "a"
            await asyncio.sleep(0.1)
        assert await ready(controller) == 200
    finally:
        api_cluster.start_apiserver()  # not in a thread: the daemons end with the thread that started them
    world.apply(ingress("two", "two.test", "web", ingress_class=stage.ingress_class))

    async def all_serve_it() -> bool:  # old workers accept beside the new ones for a moment (docs/decisions/0003)
        return all([await gateway.backend_of("two.test") == "a" for _ in range(50)])

    await eventually(all_serve_it)
    controller.process.kill()
    controller.process.wait()
    assert await gateway.backend_of("two.test") == "a"


@pytest.mark.long
async def test_ten_minutes_without_the_api_server(api_cluster: ApiCluster, stage: Stage) -> None:
    """Watches that time out and are refused for long change nothing for clients; changes come when it is back."""
    world, gateway, controller = stage.world, stage.gateway, stage.controller
    api_cluster.kill_apiserver()
    try:
        ends = time.monotonic() + 600
        while time.monotonic() < ends:
            assert await gateway.backend_of("one.test") == "a"
            await asyncio.sleep(0.5)
        assert await ready(controller) == 200
    finally:
        api_cluster.start_apiserver()
    world.apply(ingress("two", "two.test", "web", ingress_class=stage.ingress_class))
    await eventually(serves(gateway, "two.test"), 120)
