"""Worlds for tests of the release engine, and gateways with their controllers for those of the data plane."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway_operator.kube import Api
from lab.apiserver import ApiCluster
from releases_lab import World
from splits_lab import centre, home  # noqa: F401 - fixtures
from tests.apiserver import ingress_harness
from tests.apiserver.ingress_harness import Controller, Start
from tests.nginx.harness import Backend, Gateway, eventually


@pytest.fixture
async def world(api: Api, api_cluster: ApiCluster, tmp_path: Path, helm_binary: Path) -> World:
    """Kinds, a namespace and a counted helm of this test alone; the kind Web is there."""
    made = World(api, api_cluster.kubeconfig, tmp_path, helm_binary)
    await made.prepare("Web")
    return made


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    """A server on this machine that says `a`."""
    server = Backend("a")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def gateways(nginx_binary: Path) -> AsyncIterator[Callable[[], Gateway]]:
    """Makes gateways: supervisors with nginx that wait for a controller."""
    with ExitStack() as stack:

        def make() -> Gateway:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-")))
            folder.chmod(0o755)
            gateway = Gateway(folder, nginx_binary)
            stack.callback(gateway.end)
            return gateway

        yield make


@pytest.fixture
def start(api_cluster: ApiCluster) -> Iterator[Start]:
    """Starts controllers and ends those that still run."""
    running: list[Controller] = []

    def begin(gateway: Gateway, namespace: str, *flags: str) -> Controller:
        running.append(Controller(api_cluster, gateway, namespace, *flags))
        return running[-1]

    yield begin
    for controller in running:
        controller.stop()


@pytest.fixture
def ingress_class(api_cluster: ApiCluster) -> Iterator[str]:
    """An IngressClass for one test, whose controller value is `example.test/<name>`."""
    name = f"class-{uuid.uuid4().hex[:6]}"
    spec = {"controller": f"example.test/{name}"}
    item = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": name}, "spec": spec}
    api_cluster.kubectl("apply", "-f", "-", input=json.dumps(item))
    yield name
    api_cluster.kubectl("delete", "ingressclass", name)


@pytest.fixture
async def stage(
    api_cluster: ApiCluster,
    namespace: str,
    ingress_class: str,
    gateways: Callable[[], Gateway],
    start: Start,
    backend: Backend,
) -> ingress_harness.Stage:
    """A cluster gateway that serves one.test by an Ingress of this test's class."""
    world, gateway = ingress_harness.World(api_cluster, namespace), gateways()
    await gateway.start()
    one = ingress_harness.ingress("one", "one.test", "web", ingress_class=ingress_class)
    world.apply(*ingress_harness.service("web", backend.port), one)
    controller = start(gateway, namespace, *ingress_harness.cluster_flags(ingress_class))
    await eventually(ingress_harness.serves(gateway, "one.test"))
    return ingress_harness.Stage(world, gateway, controller, ingress_class)
