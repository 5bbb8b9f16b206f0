"""The centre and its members: API servers, the services in them, and the policies that join them.

Members can be more than API servers: each then has a namespace of its own on one of them, for a pod's address that is
seen in two clusters would rightly be refused.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.dataplane import sites
from bench.dataplane.network import pod
from bench.dataplane.world import World
from bench.engine.world import together
from gateway_operator.clusters.members import MEMBERS
from gateway_operator.clusters.service import NAMESPACES, POLICIES
from gateway_operator.crds.manifests import all_yaml
from gateway_operator.kube import Api, Resource
from lab.apiserver import ApiCluster
from lab.paths import CHECKOUT

HOME = "default"  # the operator's namespace outside of a cluster
DOMAIN = "bench.example.com"
PODS = 3  # of a service in one cluster
PATHS_OF_POLICY = 50
ANSWER = '{"cluster":"$server_addr"}\n'  # which cluster that is, says the address
CLASSES = Resource("networking.k8s.io", "v1", "IngressClass", "ingressclasses", namespaced=False)
Object = dict[str, Any]


@dataclass(frozen=True)
class Member:
    """A member: its API server's place in the list, and the only namespace in which it has services."""

    name: str
    api: int
    namespace: str
    first: int  # the number of its first pod

    def pods(self, service: int) -> tuple[str, ...]:
        """Return the addresses of a service's pods."""
        return tuple(pod(self.first + service * PODS + n) for n in range(PODS))

    def owns(self, address: str, services: int) -> bool:
        """Tell whether an address is that of one of its pods."""
        low, high = (int(ipaddress.ip_address(pod(self.first + n))) for n in (0, services * PODS))
        return low <= int(ipaddress.ip_address(address)) < high


@dataclass(frozen=True)
class Plan:
    """`members` share `apis` API servers; each has the same `services`, in `namespaces` by turns."""

    members: int
    apis: int
    services: int

    @property
    def namespaces(self) -> list[str]:
        """Return as many namespaces as members share one API server."""
        return [f"bench-{n}" for n in range(-(-self.members // self.apis))]

    def all(self) -> list[Member]:
        """Return the members."""
        return [
            Member(f"member-{n:02d}", n % self.apis, f"bench-{n // self.apis}", n * self.services * PODS)
            for n in range(self.members)
        ]


@dataclass
class Fleet:
    """The centre and the API servers of its members; what starts an operator finds what it needs here."""

    plan: Plan
    world: World
    apis: list[Api]
    texts: list[bytes]  # their kubeconfigs
    watches: Path = CHECKOUT / "watches.yaml"
    members: list[Member] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Return the place of its files."""
        return self.world.folder

    @property
    def kubeconfig(self) -> Path:
        """Return the operator's."""
        return self.world.cluster.kubeconfig

    @property
    def api(self) -> Api:
        """Return the centre's client."""
        return self.world.api

    async def plant(self) -> None:
        """Create namespaces and services everywhere, and make the members members."""
        self.members = self.plan.all()
        for api in (self.api, *self.apis):
            await together(api.create(NAMESPACES, namespace(name)) for name in self.plan.namespaces)
        await together(
            self.apis[member.api].create(resource, obj, member.namespace)
            for number in range(self.plan.services)
            for member in self.members
            for resource, obj in service(member, number)
        )
        for member in self.members:
            await self.api.create(sites.SECRETS, secret(member, self.texts[member.api]), HOME)
            await self.api.create(MEMBERS, member_object(member))

    async def spread(self, services: int | None = None) -> None:
        """Create policies that spread the first services, or all, over all members that have them, in equal parts."""
        end = self.plan.services if services is None else services
        await together(
            self.api.create(POLICIES, policy(self, name, range(first, min(first + PATHS_OF_POLICY, end))), name)
            for name in self.plan.namespaces
            for first in range(0, end, PATHS_OF_POLICY)
        )

    async def set_pods(self, member: Member, number: int, *more: str) -> None:
        """Let a service have its own pods in a member, and these."""
        body = {"endpoints": sites.endpoints((*member.pods(number), *more))}
        await self.apis[member.api].merge_patch(sites.SLICES, name_of(number), body, member.namespace)


@contextlib.asynccontextmanager
async def fleet(folder: Path, plan: Plan) -> AsyncIterator[Fleet]:
    """Start the API servers and the pods; they end with the block."""
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(World.fresh(folder / "centre", ANSWER))
        names = [f"api-{n}" for n in range(plan.apis)]
        servers = await asyncio.gather(*(asyncio.to_thread(ApiCluster.start, folder, name) for name in names))
        for server in servers:
            stack.push_async_callback(asyncio.to_thread, server.stop)
        apis = [await Api.connect(server.kubeconfig) for server in servers]
        for api in apis:
            stack.push_async_callback(api.close)
        centre = world.cluster
        await asyncio.to_thread(centre.kubectl, "apply", "--server-side", "-f", "-", input=all_yaml())
        await asyncio.to_thread(centre.kubectl, "wait", "--for=condition=Established", "crd", "--all")
        texts = [await asyncio.to_thread(server.kubeconfig.read_bytes) for server in servers]
        yield Fleet(plan, world, apis, texts)


def name_of(number: int) -> str:
    """Return a service's name, which is also its slice's."""
    return f"service-{number:04d}"


def host_of(namespace_: str, number: int) -> str:
    """Return a service's host."""
    return f"{name_of(number)}.{namespace_}.{DOMAIN}"


def namespace(name: str) -> Object:
    """Return a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(member: Member, number: int) -> Iterator[tuple[Resource, Object]]:
    """Yield a service of a member, and the slice with its pods."""
    yield sites.SERVICES, sites.service(name_of(number))
    yield sites.SLICES, sites.endpoint_slice(name_of(number), member.pods(number))


def secret(member: Member, kubeconfig: bytes) -> Object:
    """Return the Secret with which the operator reads a member."""
    meta = {"name": f"member-{member.name}"}
    data = {"kubeconfig": base64.b64encode(kubeconfig).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


def member_object(member: Member) -> Object:
    """Return the MemberCluster."""
    spec = {"kubeconfigSecretRef": {"name": f"member-{member.name}"}}
    return {"apiVersion": "k8s.nginx.org/v1", "kind": "MemberCluster", "metadata": {"name": member.name}, "spec": spec}


def policy(fleet: Fleet, namespace_: str, numbers: range) -> Object:
    """Return a policy for these services."""
    entries = [{"name": member.name, "weight": 1} for member in fleet.members if member.namespace == namespace_]
    rules = []
    for number in numbers:
        backend = {"service": {"name": name_of(number), "port": {"number": 80}}, "clusterTrafficPolicy": entries}
        paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
        rules.append({"host": host_of(namespace_, number), "http": {"paths": paths}})
    return {
        "apiVersion": "k8s.nginx.org/v1",
        "kind": "ClusterTrafficPolicy",
        "metadata": {"name": f"policy-{numbers[0]:04d}", "namespace": namespace_},
        "spec": {"rules": rules},
    }
