"""From the graph to the plan: hash names for everything, hosts that didn't change taken over as they are.

Beside the plan it gives the index that leads from a hash back to the objects behind it; nginx never sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.ingress.certificates import Pair
from gateway_operator.ingress.endpoints import BackendKey
from gateway_operator.ingress.gateway_config import CONNECT_TIMEOUT, GatewayConfig, read_config
from gateway_operator.ingress.graph_types import Backend, Graph, Host, Port
from gateway_operator.ingress.host_plan import HostPlan, Need, plan_host, upstream_id
from gateway_operator.ingress.memo import Members, changed
from gateway_operator.ingress.plan import (
    Authority,
    Certificate,
    Endpoint,
    Machine,
    Passthrough,
    PasswordFile,
    Plan,
    Server,
    Service,
    Upstream,
)
from gateway_operator.ingress.policies import Balancing, Profile
from gateway_operator.ingress.registry import Merged, Registry
from gateway_operator.ingress.splits import Made, Moment, Splits

__all__ = ["CONNECT_TIMEOUT", "Compiled", "GatewayConfig", "Planner", "compile_plan", "read_config"]

_NOTHING = HostPlan()


@dataclass(frozen=True)
class Compiled:
    """A plan and the way back: hash → the objects that it stands for."""

    plan: Plan
    index: Mapping[str, Any]
    splits: tuple[Made, ...] = ()


def compile_plan(
    graph: Graph, config: GatewayConfig, machine: Machine, fake: Pair, *, passthrough: bool = False
) -> Compiled:
    """Turn a validated graph into a plan; `fake` is the certificate where no other is."""
    return Planner(passthrough=passthrough).compile(graph, config, machine, fake)


class Planner:
    """Keeps the parts of hosts that didn't change; equal graphs give equal plans whatever came before."""

    def __init__(self, *, passthrough: bool = False) -> None:
        self._passthrough = passthrough
        self._parts: _Parts | None = None

    def compile(self, graph: Graph, config: GatewayConfig, machine: Machine, fake: Pair) -> Compiled:
        """Turn a graph into a plan."""
        parts = self._parts
        if parts is None or parts.config != config or parts.default_backend != graph.default_backend:
            parts = self._parts = _Parts(config, graph.default_backend)
        parts.take(graph)
        default = (graph.default_pair or fake).certificate
        plan = Plan(
            machine=machine,
            settings=config.settings,
            servers=parts.servers(),
            upstreams=parts.upstreams.all(),
            certificates=_with(parts.certificates, default),
            default_certificate=default.id,
            authorities=parts.authorities.all(),
            password_files=parts.passwords.all(),
            services=parts.services,
            passthroughs=parts.passthroughs.all(),
            passthrough_enabled=self._passthrough,
            splits=parts.splits.plain,
            cut=parts.splits.addresses(graph.cut),
        )
        return Compiled(plan, parts.index(), parts.splits.all())


def _with(known: Registry[Certificate], default: Certificate) -> tuple[Certificate, ...]:
    """Return all certificates and the default one, sorted."""
    found = known.all()
    return found if default.id in known else tuple(sorted((*found, default), key=lambda item: item.id))


class _Parts:
    """The parts of the plan under one configuration."""

    def __init__(self, config: GatewayConfig, default_backend: Backend | None) -> None:
        self.config = config
        self.default_backend = default_backend
        self.upstreams = Registry[Upstream]()
        self.certificates = Registry[Certificate]()
        self.authorities = Registry[Authority]()
        self.passwords = Registry[PasswordFile]()
        self.passthroughs = Registry[Passthrough]()
        self.splits = Splits()
        self.services: tuple[Service, ...] = ()
        self._members = Members[Host]()
        self._hosts: dict[str, HostPlan] = {}
        self._ports = _NOTHING
        self._needs = Registry[Need]()
        self._ids: dict[BackendKey, set[str]] = {}
        self._endpoints: Mapping[BackendKey, tuple[Endpoint, ...]] = {}
        self._profiles: dict[Profile, Profile] = {}
        self._servers = Registry[Server]()
        self._index: Merged | None = None

    def take(self, graph: Graph) -> None:
        """Bring the parts to a graph."""
        moved = changed(self._endpoints, graph.endpoints)
        self._endpoints = graph.endpoints
        self.splits.follow(moved, Moment(graph.endpoints, graph.totals, graph.down))
        for key in moved:
            for identity in self._ids.get(key, ()):
                self._refresh(identity)
        gone, came = self._members.turn(graph.hosts)
        for host in came:
            part = plan_host(host, self.config, self.default_backend, self._profiles)
            self._put(host.name, self._hosts.get(host.name, _NOTHING), part)
            self._hosts[host.name] = part
        for name in {host.name for host in gone} - {host.name for host in came}:
            self._put(name, self._hosts.pop(name), _NOTHING)
        self._take_ports(graph.ports)

    def _put(self, name: str, old: HostPlan, new: HostPlan) -> None:
        """Swap one host's part."""
        self._index = None
        self._servers.swap({item.host: item for item in old.servers}, {item.host: item for item in new.servers})
        self._swap_upstreams(old.upstreams, new.upstreams)
        self.splits.swap(old.splits, new.splits)
        self.certificates.swap(old.certificates, new.certificates)
        self.authorities.swap(old.authorities, new.authorities)
        self.passwords.swap(old.passwords, new.passwords)
        self.passthroughs.swap(
            {name: old.passthrough} if old.passthrough else {}, {name: new.passthrough} if new.passthrough else {}
        )

    def _swap_upstreams(self, old: Mapping[str, Need], new: Mapping[str, Need]) -> None:
        before = {identity: self.upstreams[identity] for identity in old}
        self._needs.swap(old, new)
        for identity in old.keys() - new.keys():
            if identity not in self._needs:
                self._ids[old[identity].key].discard(identity)
        for identity, need in new.items():
            self._ids.setdefault(need.key, set()).add(identity)
        self.upstreams.swap(before, {identity: self._made(identity) for identity in new})

    def _made(self, identity: str) -> Upstream:
        if identity in self.upstreams:
            return self.upstreams[identity]
        need = self._needs[identity]
        return Upstream(identity, self._endpoints.get(need.key, ()), need.balancing, need.member)

    def _refresh(self, identity: str) -> None:
        need = self._needs[identity]
        found = Upstream(identity, self._endpoints.get(need.key, ()), need.balancing, need.member)
        self.upstreams.replace(identity, found)

    def _take_ports(self, ports: tuple[Port, ...]) -> None:
        new = HostPlan()
        services = []
        for port in ports:
            identity = upstream_id(port.backend.key, port.protocol, Balancing()) if port.backend.alive else None
            if identity is not None:
                new.upstreams[identity] = Need(port.backend.key)
                backend = port.backend
                new.index[identity] = {"namespace": backend.namespace, "service": backend.service, "port": backend.port}
            services.append(Service(port.port, port.protocol, identity, port.accept_proxy, port.send_proxy))
        if new.upstreams != self._ports.upstreams:
            self._swap_upstreams(self._ports.upstreams, new.upstreams)
            self._index = None
        self._ports = new
        self.services = tuple(services)

    def servers(self) -> tuple[Server, ...]:
        """Return all servers, sorted by host."""
        return self._servers.all()

    def index(self) -> Merged:
        """Return the way back from hashes to objects."""
        if self._index is None:
            self._index = Merged(part.index for part in [*self._hosts.values(), self._ports])
        return self._index
