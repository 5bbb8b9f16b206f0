"""What a member has of a Service: the addresses that answer for one of its ports, and how many there could be. Pure.

A Service's port leads to addresses by the port's *name* in its EndpointSlices, since the number behind it may differ
from cluster to cluster, and from pod to pod.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

from gateway_operator.clusters.policies import Service
from gateway_operator.crds.traffic import TrafficReason
from gateway_operator.kube import shared
from gateway_operator.networks import is_routable

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


@dataclass(frozen=True)
class MemberView:
    """What is known of a member: its Services and slices by Service, and the namespaces of which all is known.

    `stale` says that this is what was known last; `expired` that it has been so for longer than the member's staleTTL.
    `memo` keeps answers by Service; whoever changes a Service or its slices forgets them.
    """

    name: str
    services: Mapping[Key, Object] = field(default_factory=dict)
    slices: Mapping[Key, Mapping[str, Object]] = field(default_factory=dict)
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
    spec = obj.get("spec") or {}
    if spec.get("type") == "ExternalName":
        text = f"Service {'/'.join(key)} in cluster {view.name} is of type ExternalName"
        return Found(reason=TrafficReason.UNSUPPORTED_TYPE, text=text)
    port = _port(spec.get("ports") or (), service)
    if port is None:
        text = f"Service {'/'.join(key)} in cluster {view.name} has no port {service.port}"
        return Found(reason=TrafficReason.PORT_NOT_FOUND, text=text)
    if port.get("protocol", "TCP") != "TCP":
        text = f"port {service.port} of Service {'/'.join(key)} in cluster {view.name} is {port['protocol']}, not TCP"
        return Found(reason=TrafficReason.UNSUPPORTED_PROTOCOL, text=text)
    slices = view.slices.get(key, {}).values()
    publish = bool(spec.get("publishNotReadyAddresses"))
    tried = [_addresses(slices, family, port.get("name") or "", publish=publish) for family in families]
    found = next((one for one in tried if one.addresses), max(tried, key=lambda one: one.total))
    return replace(found, port=int(port.get("port") or 0))


def without_dead(found: Found, cluster: str, alive: Alive) -> Found:
    """Drop the addresses of which probes say that they are dead."""
    return replace(found, addresses=tuple(a for a in found.addresses if alive(cluster, a) is not False))


def strip_service(obj: Object) -> dict[str, Any]:
    """Keep of a Service what is used here."""
    spec = obj.get("spec") or {}
    return {
        "metadata": _identity(obj),
        "spec": {key: one(spec[key]) for key in ("type", "ports", "publishNotReadyAddresses") if key in spec},
    }


def strip_slice(obj: Object) -> dict[str, Any]:
    """Keep of an EndpointSlice what is used here."""
    labels = obj["metadata"].get("labels") or {}
    endpoints = [
        {"addresses": (item.get("addresses") or [])[:1], "conditions": one(item.get("conditions") or {})}
        for item in obj.get("endpoints") or ()
    ]
    return {
        "metadata": _identity(obj) | {"labels": {SERVICE_LABEL: labels.get(SERVICE_LABEL, "")}},
        "addressType": one(obj.get("addressType")),
        "ports": one(obj.get("ports")),
        "endpoints": endpoints,
    }


def one(value: Any) -> Any:
    """Return one and the same object for equal JSON values: thousands of Services have few of them. Never alter it."""
    return _parsed(json.dumps(value))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Any:
    return shared(json.loads(text))


def _identity(obj: Object) -> dict[str, Any]:
    meta = obj["metadata"]
    return {
        "name": meta["name"],
        "namespace": sys.intern(meta.get("namespace") or ""),
        "resourceVersion": meta.get("resourceVersion"),
    }


def _port(ports: Iterable[Object], service: Service) -> Object | None:
    wanted = service.port
    fitting = [p for p in ports if (p.get("name") == wanted.name if wanted.name else p.get("port") == wanted.number)]
    tcp = [p for p in fitting if p.get("protocol", "TCP") == "TCP"]  # one number may serve TCP and UDP
    return next(iter(tcp or fitting), None)


def _addresses(slices: Iterable[Object], family: str, port_name: str, *, publish: bool) -> Found:
    """Take what is ready; where nothing is, what still serves while it terminates."""
    ready: set[Address] = set()
    draining: set[Address] = set()
    hopeful: set[str] = set()
    for item in slices:
        if item.get("addressType") != family:
            continue
        numbers = [
            p["port"]
            for p in item.get("ports") or ()
            if (p.get("name") or "") == port_name and p.get("port") and p.get("protocol", "TCP") == "TCP"
        ]
        for endpoint in item.get("endpoints") or () if numbers else ():
            conditions = endpoint.get("conditions") or {}
            ips = [ip for ip in (endpoint.get("addresses") or ())[:1] if is_routable(ip)]
            found = {Address(ip, number) for ip in ips for number in numbers}
            if publish or conditions.get("ready") is not False:
                ready |= found
            elif conditions.get("terminating") and conditions.get("serving"):
                draining |= found
            if not conditions.get("terminating"):
                hopeful.update(ips)
    addresses = tuple(sorted(ready or draining))
    return Found(addresses, max(len(hopeful), len({address.ip for address in addresses})))
