"""From a Service and one of its ports to the addresses that serve it.

A Service's port leads to EndpointSlices by the port's name, which is what follows pods whose numbers differ.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway_operator.ingress.parse import BackendRef
from gateway_operator.ingress.plan import Endpoint
from gateway_operator.ingress.snapshot import Snapshot


class BackendError(ValueError):
    """Why a backend has no addresses: `reason` for the Event, the text for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def resolve(snapshot: Snapshot, namespace: str, backend: BackendRef) -> tuple[Endpoint, ...]:
    """Return the addresses of a backend, sorted; none is no error, a missing Service or port is."""
    service = snapshot.services.get((namespace, backend.service))
    if service is None:
        raise BackendError("ServiceNotFound", f"there is no Service {backend.service} in namespace {namespace}")
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        text = f"Service {backend.service} is of type ExternalName, which this gateway doesn't forward to"
        raise BackendError("UnsupportedBackend", text)
    port = _service_port(spec.get("ports") or (), backend)
    return _addresses(snapshot.slices.get((namespace, backend.service), ()), port.get("name") or "")


def _service_port(ports: Sequence[Mapping[str, Any]], backend: BackendRef) -> Mapping[str, Any]:
    tcp = [port for port in ports if port.get("protocol", "TCP") == "TCP"]
    for key in ("port", "name", "targetPort"):
        for port in tcp:
            if str(port.get(key, "")) == backend.port != "":
                return port
    known = ", ".join(str(port.get("name") or port["port"]) for port in tcp) or "none"
    raise BackendError(
        "ServicePortNotFound",
        f"Service {backend.service} has no TCP port {backend.port or '(none named)'}; it has {known}",
    )


def _addresses(slices: Iterable[Mapping[str, Any]], port_name: str) -> tuple[Endpoint, ...]:
    """Take what is ready; where nothing is, what is still serving while it terminates."""
    ready: set[Endpoint] = set()
    draining: set[Endpoint] = set()
    for item in slices:
        if item.get("addressType") not in {"IPv4", "IPv6"}:
            continue
        numbers = [p["port"] for p in item.get("ports") or () if (p.get("name") or "") == port_name and p.get("port")]
        for endpoint in item.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            found = {Endpoint(a, n) for a in endpoint.get("addresses") or () if is_allowed(a) for n in numbers}
            if conditions.get("terminating"):
                draining |= found if conditions.get("serving") else set()
            elif conditions.get("ready") is not False:
                ready |= found
    return tuple(sorted(ready or draining))


def is_allowed(address: str) -> bool:
    """Tell whether traffic may go to an address: never to this pod itself, to link-local (metadata) or to many."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return not (mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified or mapped.is_multicast)
