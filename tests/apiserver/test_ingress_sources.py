"""What the ingress controller watches: of Secrets only the TLS ones and those that annotations name."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from gateway_operator.errors import Gone
from gateway_operator.ingress.graph import Graph, GraphBuilder
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.sources import INGRESSES, Sources
from gateway_operator.kube import Api
from lab.apiserver import ApiCluster
from tests.apiserver.ingress_harness import World, ingress, service

PREFIX = "nginx.ingress.kubernetes.io/"
USERS = base64.b64encode(b"ann:rl0ijVZhUfVnE\n").decode()


@pytest.fixture
def world(api_cluster: ApiCluster, namespace: str) -> World:
    """A namespace with a Service and Secrets."""
    made = World(api_cluster, namespace)
    secrets = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"auth": USERS}}
        for name in ("users", "others")
    ]
    ports = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "tcp"},
        "data": {"9000": f"{namespace}/app:80"},
    }
    headers = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "headers"}, "data": {"X-A": "1"}}
    made.apply(*secrets, ports, headers, *service("app", 8080))
    return made


@contextlib.asynccontextmanager
async def running(api: Api, namespace: str) -> AsyncIterator[Sources]:
    """Sources that watch one namespace."""
    options = IngressOptions(
        watch_namespace=namespace, tcp_services_configmap=f"{namespace}/tcp", watch_ingress_without_class=True
    )
    sources = Sources(api, options, lambda: None)
    task = asyncio.create_task(sources.run())
    try:
        async with asyncio.timeout(120):
            await sources.synced()
        yield sources
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def settled(sources: Sources, check: Callable[[Graph], bool]) -> Graph:
    """Follow what graphs name until one is as it should be."""
    builder = GraphBuilder()
    async with asyncio.timeout(120):
        while True:
            graph = builder.build(sources.snapshot())
            if await sources.follow(graph):
                graph = builder.build(sources.snapshot())
            if check(graph):
                return graph
            await asyncio.sleep(0.05)


def routes(graph: Graph) -> int:
    return sum(len(host.routes) for host in graph.hosts)


async def test_named_objects_come_and_go(api: Api, world: World, namespace: str) -> None:
    """The first graph with a named Secret already has it; nobody's Secret never gets here; unnamed ones leave."""
    notes = {
        f"{PREFIX}auth-type": "basic",
        f"{PREFIX}auth-secret": "users",
        f"{PREFIX}custom-headers": f"{namespace}/headers",
    }
    world.apply(ingress("site", "x.test", "app", annotations=notes))
    async with running(api, namespace) as sources:
        graph = await settled(sources, lambda graph: routes(graph) == 1)
        access = graph.hosts[1].routes[0].access
        assert access.passwords is not None
        assert not access.closed
        snapshot = sources.snapshot()
        assert set(snapshot.secrets) == {(namespace, "users")}
        assert set(snapshot.configmaps) == {(namespace, "headers")}
        assert snapshot.tcp == {"9000": f"{namespace}/app:80"}
        assert [port.port for port in graph.ports] == [9000]

        world.delete("secret", "users")
        await settled(sources, lambda graph: bool(graph.hosts[1].routes[0].access.closed))
        world.apply(ingress("site", "x.test", "app", annotations={f"{PREFIX}auth-secret": ""}))
        await settled(sources, lambda graph: not graph.secrets and not graph.configmaps)
        assert sources.snapshot().secrets == {}


async def test_slices_and_ingresses_are_kept_up_to_date(api: Api, world: World, namespace: str) -> None:
    """Events alter what the next snapshot has, without sorting everything anew."""
    async with running(api, namespace) as sources:
        assert sources.snapshot().ingresses == ()
        world.apply(ingress("site", "x.test", "app"))
        graph = await settled(sources, lambda graph: routes(graph) == 1)
        assert graph.hosts[1].routes[0].backend.alive
        world.delete("endpointslice", "app-1")
        await settled(sources, lambda graph: not graph.hosts[1].routes[0].backend.alive)
        world.delete("ingress", "site")
        await settled(sources, lambda graph: routes(graph) == 0)


def names(graph: Graph) -> set[str]:
    return {host.name for host in graph.hosts if host.name}


@contextlib.asynccontextmanager
async def following(sources: Sources) -> AsyncIterator[None]:
    """Let sources list and watch."""
    task = asyncio.create_task(sources.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_that_is_too_old_begins_anew(
    api_cluster: ApiCluster, api: Api, world: World, namespace: str
) -> None:
    """After 410 Gone everything is listed again: what changed meanwhile is there, what went is gone."""
    world.apply(ingress("lost", "lost.test", "app"), ingress("site", "x.test", "app"))
    sources = Sources(api, IngressOptions(watch_namespace=namespace, watch_ingress_without_class=True), lambda: None)
    async with following(sources):
        await settled(sources, lambda graph: names(graph) == {"x.test", "lost.test"})
    world.delete("ingress", "lost")
    world.apply(ingress("site", "y.test", "app"))
    api_cluster.kill_apiserver()
    api_cluster.start_apiserver()  # it remembers nothing of what was before
    with pytest.raises(Gone):
        await anext(api.watch(INGRESSES, namespace, resource_version="1"))
    for informer in sources._required:
        informer._version = "1"
    async with following(sources):
        await settled(sources, lambda graph: names(graph) == {"y.test"} and routes(graph) == 1)
        world.apply(ingress("more", "z.test", "app"))
        await settled(sources, lambda graph: names(graph) == {"y.test", "z.test"})
