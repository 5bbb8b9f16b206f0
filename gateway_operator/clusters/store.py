"""What a member has of a Service: the addresses that answer for one of its ports, and how many there could be. Pure.

A Service's port leads to addresses by the port's *name* in its EndpointSlices, since the number behind it may differ
from cluster to cluster, and from pod to pod.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from gateway_operator.clusters.policies import Service
from gateway_operator.crds.traffic import TrafficReason
from gateway_operator.networks import is_routable

T = TypeVar("T", bound=Hashable)
Key = tuple[str, str]  # namespace, name of a Service
Object = Mapping[str, Any]
FAMILIES = ("IPv4", "IPv6")
SERVICE_LABEL = "kubernetes.io/service-name"


class Address(NamedTuple):
    """Where a pod answers."""

    ip: str
    port: int


Alive = Callable[[str, Address], bool | None]  # (cluster, address): what its probes say; None: they know nothing


@dataclass(frozen=True, slots=True)
class Found:
    """Addresses that answer, sorted; `total` counts those too that could once they are ready.

    `reason` and `text` say why there are none, where more than readiness is missing. `port` is the Service's number.
    """

    addresses: tuple[Address, ...] = ()
    total: int = 0
    port: int = 0
    reason: str = ""
    text: str = ""


class ServicePort(NamedTuple):
    """A port of a Service or of a slice."""

    name: str
    number: int
    protocol: str


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What is kept of a Service."""

    key: Key
    version: str
    type: str
    ports: tuple[ServicePort, ...]
    publish_not_ready: bool


@dataclass(frozen=True, slots=True)
class SliceFacts:
    """What is kept of an EndpointSlice. `states` has a byte for each of `ips`, with the bits of `_state`."""

    key: Key
    version: str
    service: Key
    family: str
    ports: tuple[ServicePort, ...]
    ips: tuple[str, ...]
    states: bytes


@dataclass(frozen=True)
class MemberView:
    """What is known of a member: its Services and slices by Service, and the namespaces of which all is known.

    `stale` says that this is what was known last; `expired` that it has been so for longer than the member's staleTTL.
    `memo` keeps answers by Service; whoever changes a Service or its slices forgets them.
    """

    name: str
    services: Mapping[Key, ServiceFacts] = field(default_factory=dict)
    slices: Mapping[Key, tuple[SliceFacts, ...]] = field(default_factory=dict)
    synced: frozenset[str] = frozenset()
    stale: bool = False
    expired: bool = False
    memo: dict[Key, dict[Service, Found]] = field(default_factory=dict, compare=False, repr=False)


def look(view: MemberView, service: Service, families: tuple[str, ...] = FAMILIES) -> Found:
    """Find the addresses of a Service's port. `families` are in order of preference: a pod counts once.

    This answers from what is known; whether that is all, `view.synced` says.
    """
    memo = view.memo.setdefault((service.namespace, service.name), {})
    if service not in memo:
        memo[service] = _look(view, service, families)
    return memo[service]


def _look(view: MemberView, service: Service, families: tuple[str, ...]) -> Found:
    key = (service.namespace, service.name)
    obj = view.services.get(key)
    if obj is None:
        return Found(reason=TrafficReason.SERVICE_NOT_FOUND, text=f"cluster {view.name} has no Service {'/'.join(key)}")
    if obj.type == "ExternalName":
        text = f"Service {'/'.join(key)} in cluster {view.name} is of type ExternalName"
        return Found(reason=TrafficReason.UNSUPPORTED_TYPE, text=text)
    port = _port(obj.ports, service)
    if port is None:
        text = f"Service {'/'.join(key)} in cluster {view.name} has no port {service.port}"
        return Found(reason=TrafficReason.PORT_NOT_FOUND, text=text)
    if port.protocol != "TCP":
        text = f"port {service.port} of Service {'/'.join(key)} in cluster {view.name} is {port.protocol}, not TCP"
        return Found(reason=TrafficReason.UNSUPPORTED_PROTOCOL, text=text)
    slices = view.slices.get(key, ())
    tried = [_addresses(slices, family, port.name, publish=obj.publish_not_ready) for family in families]
    found = next((one for one in tried if one.addresses), max(tried, key=lambda one: one.total))
    return replace(found, port=port.number)


def without_dead(found: Found, cluster: str, alive: Alive) -> Found:
    """Drop the addresses of which probes say that they are dead."""
    return replace(found, addresses=tuple(a for a in found.addresses if alive(cluster, a) is not False))


def strip_service(obj: Object) -> ServiceFacts:
    """Keep of a Service what is used here."""
    spec = obj.get("spec") or {}
    return ServiceFacts(
        key=_key(obj),
        version=_version(obj),
        type=sys.intern(spec.get("type") or ""),
        ports=_ports(spec.get("ports")),
        publish_not_ready=bool(spec.get("publishNotReadyAddresses")),
    )


def strip_slice(obj: Object) -> SliceFacts:
    """Keep of an EndpointSlice what is used here."""
    key = _key(obj)
    service = (obj["metadata"].get("labels") or {}).get(SERVICE_LABEL, "")
    named = [(item["addresses"][0], item) for item in obj.get("endpoints") or () if item.get("addresses")]
    return SliceFacts(
        key=key,
        version=_version(obj),
        service=key if service == key[1] else (key[0], sys.intern(service)),
        family=sys.intern(obj.get("addressType") or ""),
        ports=_ports(obj.get("ports")),
        ips=tuple(ip for ip, _ in named),
        states=_one(bytes(_state(item.get("conditions") or {}) for _, item in named)),
    )


_READY, _DRAINS, _HOPEFUL = 1, 2, 4


def _state(conditions: Object) -> int:
    """Return what an endpoint is: `_READY`, or still `_DRAINS` while it ends; `_HOPEFUL`: it doesn't end."""
    ending = bool(conditions.get("terminating"))
    state = 0 if ending else _HOPEFUL
    if conditions.get("ready") is not False:
        state |= _READY
    elif ending and conditions.get("serving"):
        state |= _DRAINS
    return state


def _ports(found: Iterable[Object] | None) -> tuple[ServicePort, ...]:
    ports = [
        ServicePort(sys.intern(port.get("name") or ""), int(port.get("port") or 0), port.get("protocol") or "TCP")
        for port in found or ()
    ]
    shared: tuple[ServicePort, ...] = _one(tuple(ports))
    return shared


@lru_cache(maxsize=4096)
def _one(value: T) -> T:
    """Return one and the same object for equal values: thousands of Services have few of them."""
    return value


def _key(obj: Object) -> Key:
    meta = obj["metadata"]
    return sys.intern(meta.get("namespace") or ""), sys.intern(meta["name"])


def _version(obj: Object) -> str:
    return str(obj["metadata"].get("resourceVersion"))


def _port(ports: Iterable[ServicePort], service: Service) -> ServicePort | None:
    wanted = service.port
    fitting = [p for p in ports if (p.name == wanted.name if wanted.name else p.number == wanted.number)]
    tcp = [p for p in fitting if p.protocol == "TCP"]  # one number may serve TCP and UDP
    return next(iter(tcp or fitting), None)


def _addresses(slices: Iterable[SliceFacts], family: str, port_name: str, *, publish: bool) -> Found:
    """Take what is ready; where nothing is, what still serves while it terminates."""
    ready: set[Address] = set()
    draining: set[Address] = set()
    hopeful: set[str] = set()
    for item in slices:
        if item.family != family:
            continue
        numbers = [p.number for p in item.ports if p.name == port_name and p.number and p.protocol == "TCP"]
        for ip, state in zip(item.ips, item.states, strict=True) if numbers else ():
            if not is_routable(ip):
                continue
            found = {Address(ip, number) for number in numbers}
            if publish or state & _READY:
                ready |= found
            elif state & _DRAINS:
                draining |= found
            if state & _HOPEFUL:
                hopeful.add(ip)
    addresses = tuple(sorted(ready or draining))
    return Found(addresses, max(len(hopeful), len({address.ip for address in addresses})))
