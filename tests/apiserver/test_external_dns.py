"""The status of Ingresses as external-dns reads it: every address of the published Service, soon, and no stale one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.apiserver import ApiCluster
from tests.apiserver.ingress_harness import Controller, World, ingress
from tests.nginx.conftest import running
from tests.nginx.harness import eventually

CLASS = "nginx"


@pytest.fixture
def world(api_cluster: ApiCluster, namespace: str) -> World:
    """A namespace with the gateway's own Service, which has no address yet."""
    made = World(api_cluster, namespace)
    spec = {"type": "LoadBalancer", "ports": [{"name": "http", "port": 80}], "selector": {"app": "gateway"}}
    made.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "edge"}, "spec": spec})
    return made


@pytest.fixture
def controller(api_cluster: ApiCluster, namespace: str, nginx_binary: Path, world: World) -> Iterator[Controller]:
    """A gateway of that namespace."""
    with running(nginx_binary) as gateway:
        flags = [f"--publish-service={namespace}/edge", f"--watch-namespace={namespace}", f"--ingress-class={CLASS}"]
        made = Controller(api_cluster, gateway, namespace, *flags, "--election-id=edge")
        try:
            yield made
        finally:
            made.stop()


def balanced(world: World, *addresses: dict[str, str]) -> None:
    """Give the Service the addresses that a cloud gives."""
    patch = json.dumps({"status": {"loadBalancer": {"ingress": list(addresses)}}})
    words = ("patch", "service", "edge", "-n", world.namespace, "--subresource=status", "--type=merge", "-p", patch)
    world.cluster.kubectl(*words)


def records(world: World) -> set[tuple[str, str, str]]:
    """What external-dns makes of all Ingresses: (name, type, target) for each host of rules and of TLS entries."""
    found: set[tuple[str, str, str]] = set()
    for obj in world.get("ingress")["items"]:
        hosts = [rule.get("host") for rule in obj["spec"].get("rules", [])]
        hosts += [host for entry in obj["spec"].get("tls", []) for host in entry.get("hosts", [])]
        for target in obj.get("status", {}).get("loadBalancer", {}).get("ingress", []):
            for host in filter(None, hosts):
                found |= (
                    {(host, "A" if ":" not in target["ip"] else "AAAA", target["ip"])} if target.get("ip") else set()
                )
                found |= {(host, "CNAME", target["hostname"])} if target.get("hostname") else set()
    return found


async def holds(world: World, *expected: tuple[str, str, str]) -> None:
    """Wait until external-dns would make exactly these records."""

    async def same() -> bool:
        return records(world) == set(expected)

    try:
        await eventually(same)
    except AssertionError as error:
        raise AssertionError(f"{records(world)} instead of {set(expected)}") from error


async def test_records_follow_the_published_service(world: World, controller: Controller) -> None:
    """Addresses and host names come, change and go; a second Ingress gets them, too, another controller's doesn't."""
    mine: dict[str, Any] = {"ingress_class": CLASS}
    world.apply(ingress("shop", "shop.test", "web", **mine), ingress("theirs", "theirs.test", "web", ingress_class="x"))
    balanced(world, {"ip": "192.0.2.7"}, {"ip": "2001:db8::7"})
    await holds(world, ("shop.test", "A", "192.0.2.7"), ("shop.test", "AAAA", "2001:db8::7"))
    world.apply(ingress("blog", "blog.test", "web", tls="blog-tls", **mine))
    balanced(world, {"hostname": "lb.example.test"})
    await holds(world, *((host, "CNAME", "lb.example.test") for host in ("shop.test", "blog.test")))
    world.delete("ingress", "shop")
    await holds(world, ("blog.test", "CNAME", "lb.example.test"))
    controller.stop()  # the last replica goes: its names must not lead anywhere
    await holds(world)


async def test_names_of_challenges_are_no_surprise(world: World, controller: Controller) -> None:
    """A challenge's Ingress has the site's host, and so the same records as the site itself, before and after."""
    mine: dict[str, Any] = {"ingress_class": CLASS}
    balanced(world, {"ip": "192.0.2.7"})
    world.apply(ingress("shop", "shop.test", "web", **mine))
    await holds(world, ("shop.test", "A", "192.0.2.7"))
    token = {"path": "/.well-known/acme-challenge/x", "kind": "Exact"}
    world.apply(ingress("cm-acme-http-solver-1", "shop.test", "solver", **mine, **token))

    async def both() -> bool:
        return world.status("shop") == world.status("cm-acme-http-solver-1") == [{"ip": "192.0.2.7"}]

    await eventually(both)
    world.delete("ingress", "cm-acme-http-solver-1")
    await holds(world, ("shop.test", "A", "192.0.2.7"))
    assert controller.process.poll() is None
