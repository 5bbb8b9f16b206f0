"""From a Service and one of its ports to the addresses that serve it.

A Service's port leads to EndpointSlices by the port's name, which is what follows pods whose numbers differ. Names
outside the cluster come with their addresses in the snapshot, resolved by the controller, never by nginx.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gateway_operator.ingress.plan import Endpoint
from gateway_operator.ingress.snapshot import Key, Snapshot
from gateway_operator.networks import is_routable
from gateway_operator.traffic.config import TOTAL_ANNOTATION

FIRST_PORT = "*"  # stands for a Service's first port
_CLUSTER_NAME = re.compile(r"([a-z0-9-]{1,63})\.([a-z0-9-]{1,63})\.svc(\.[a-z0-9.-]{1,200})?\.?")
_DNS_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
MAX_PORT = 65535
MAX_NAME = 253
TOO_LONG = 8  # digits of a number of endpoints


class BackendError(ValueError):
    """Why a backend has no addresses: `reason` for the Event, the text for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Mode:
    """Where a backend's addresses come from: its EndpointSlices, its Service's own address, or a DNS name."""

    ENDPOINTS = "endpoints"
    SERVICE = "service"
    NAME = "name"


class BackendKey(NamedTuple):
    """A backend as it is asked for. With `Mode.NAME`, `service` is a DNS name or an address and `port` a number.

    (A tuple of plain texts, since tens of thousands of them are looked up in each pass.)
    """

    namespace: str
    service: str
    port: str
    mode: str = Mode.ENDPOINTS
    protocol: str = "TCP"


@dataclass(frozen=True)
class Resolved:
    """A backend's addresses, sorted; `error` says why there can't be any. `port` is what logs call it.

    `services` and `names` (of DNS) are what the answer depends on.
    """

    endpoints: tuple[Endpoint, ...] = ()
    port: str = ""
    reason: str = ""
    error: str = ""
    services: tuple[Key, ...] = ()
    names: tuple[str, ...] = ()
    total: int = 0  # of a mirror: how many there are with those that aren't ready; 0 where nobody said

    @property
    def needs(self) -> tuple[Key | str, ...]:
        """Everything that the answer depends on."""
        return (*self.services, *self.names)


def resolve_key(snapshot: Snapshot, key: BackendKey) -> Resolved:
    """Return what is known of a backend; this never raises."""
    services = () if key.mode == Mode.NAME else ((key.namespace, key.service),)
    try:
        if key.mode == Mode.NAME:
            return _named(snapshot, key.service, int(key.port), key.port)
        found = _service(snapshot, key)
    except BackendError as error:
        return Resolved((), _label(key.port), error.reason, str(error), services)
    return replace(found, services=services + found.services)


def _label(port: str) -> str:
    return "" if port == FIRST_PORT else port


def _service(snapshot: Snapshot, key: BackendKey) -> Resolved:
    service = snapshot.services.get((key.namespace, key.service))
    if service is None:
        raise BackendError("ServiceNotFound", f"there is no Service {key.service} in namespace {key.namespace}")
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return _external(snapshot, str(spec.get("externalName") or ""), spec.get("ports") or (), key)
    port = _service_port(spec.get("ports") or (), key)
    label = str(port["port"]) if key.port == FIRST_PORT else key.port
    own = str(spec.get("clusterIP") or "")
    if key.mode == Mode.SERVICE and own not in {"", "None"} and is_routable(own):
        return Resolved((Endpoint(own, int(port["port"])),), label)
    slices = snapshot.slices.get((key.namespace, key.service), ())
    return Resolved(_addresses(slices, port.get("name") or "", key.protocol), label, total=_total(slices))


def _service_port(ports: Sequence[Mapping[str, Any]], key: BackendKey) -> Mapping[str, Any]:
    usable = [port for port in ports if port.get("protocol", "TCP") == key.protocol]
    if key.port == FIRST_PORT and usable:
        return usable[0]
    for field in ("port", "name", "targetPort"):
        for port in usable:
            if str(port.get(field, "")) == key.port != "":
                return port
    known = ", ".join(str(port.get("name") or port["port"]) for port in usable) or "none"
    raise BackendError(
        "ServicePortNotFound",
        f"Service {key.service} has no {key.protocol} port {_label(key.port) or '(none named)'}; it has {known}",
    )


def _external(snapshot: Snapshot, name: str, ports: Sequence[Mapping[str, Any]], key: BackendKey) -> Resolved:
    """Follow a Service of type ExternalName; its ports are optional, a number needs none."""
    number = key.port
    if ports:
        number = str(_service_port(ports, key)["port"])
    if not number.isdecimal() or not 0 < int(number) <= MAX_PORT:
        message = f"Service {key.service} is of type ExternalName and has no port {_label(key.port) or '(none named)'}"
        raise BackendError("ServicePortNotFound", message)
    return _named(snapshot, name.lower().rstrip("."), int(number), _label(key.port) or number)


def _named(snapshot: Snapshot, name: str, port: int, label: str) -> Resolved:
    """Return the addresses behind a name: those of a Service of this cluster, or what DNS said."""
    inside = cluster_service(name)
    if inside is not None:
        return _inside(snapshot, inside, port, label)
    if is_ip(name):
        addresses: tuple[str, ...] = (name,)
    elif len(name) > MAX_NAME or not _DNS_NAME.fullmatch(name) or "." not in name:
        raise BackendError("UnsupportedBackend", "its external name is no DNS name with a dot in it")
    else:
        addresses = snapshot.names.get(name, ())
    names = () if is_ip(name) else (name,)
    allowed = tuple(sorted(Endpoint(address, port) for address in addresses if is_routable(address)))
    if addresses and not allowed:
        text = "its name leads to addresses that no backend may have (loopback, link-local, multicast)"
        return Resolved((), label, "ForbiddenAddress", text, (), names)
    return Resolved(allowed, label, "", "", (), names)


def _inside(snapshot: Snapshot, key: Key, port: int, label: str) -> Resolved:
    service = snapshot.services.get(key)
    if service is None:
        text = f"there is no Service {key[1]} in namespace {key[0]}, or it can't be seen from here"
        return Resolved((), label, "ServiceNotFound", text, (key,))
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return Resolved(
            (), label, "UnsupportedBackend", "its name leads to another Service of type ExternalName", (key,)
        )
    wanted = BackendKey(key[0], key[1], str(port))
    try:
        found = _service_port(spec.get("ports") or (), wanted)
    except BackendError as error:
        return Resolved((), label, error.reason, str(error), (key,))
    return Resolved(_addresses(snapshot.slices.get(key, ()), found.get("name") or "", "TCP"), label, "", "", (key,))


def cluster_service(name: str) -> Key | None:
    """Return namespace and name of a Service that a DNS name of this cluster means; None for any other name."""
    match = _CLUSTER_NAME.fullmatch(name)
    return (match[2], match[1]) if match else None


def _addresses(slices: Iterable[Mapping[str, Any]], port_name: str, protocol: str) -> tuple[Endpoint, ...]:
    """Take what is ready; where nothing is, what is still serving while it terminates."""
    ready: set[Endpoint] = set()
    draining: set[Endpoint] = set()
    for item in slices:
        if item.get("addressType") not in {"IPv4", "IPv6"}:
            continue
        numbers = [
            p["port"]
            for p in item.get("ports") or ()
            if (p.get("name") or "") == port_name and p.get("port") and p.get("protocol", protocol) == protocol
        ]
        for endpoint in item.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            found = {Endpoint(a, n) for a in endpoint.get("addresses") or () if is_routable(a) for n in numbers}
            if conditions.get("terminating"):
                draining |= found if conditions.get("serving") else set()
            elif conditions.get("ready") is not False:
                ready |= found
    return tuple(sorted(ready or draining))


def _total(slices: Iterable[Mapping[str, Any]]) -> int:
    notes = [
        str((item["metadata"].get("annotations") or {}).get(TOTAL_ANNOTATION, ""))
        for item in slices
        if "metadata" in item
    ]
    return max((int(note) for note in notes if note.isascii() and note.isdecimal() and len(note) < TOO_LONG), default=0)


def is_ip(text: str) -> bool:
    """Tell an address from a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
