"""What is kept of an object in memory: tens of thousands of them are held, and most of their text is for others.

Texts that come again and again, and small parts that are equal, are kept once; nobody alters what an informer holds.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

Object = dict[str, Any]

_META = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp")
_SERVICE = ("type", "clusterIP", "externalName", "externalIPs", "ports")
_PORT = ("name", "port", "protocol", "targetPort", "appProtocol")
_CONDITIONS = ("ready", "serving", "terminating")
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LONGEST = 64  # characters; longer texts seldom come twice


def slim(obj: Object) -> Object:
    """Return what the gateway reads of an object; kinds that aren't known here lose only what kubectl and etcd add."""
    found = {**obj, "metadata": _meta(obj["metadata"])}
    kind = obj.get("kind")
    if kind == "Ingress":
        found["spec"] = shared(obj.get("spec") or {})
    elif kind == "Service":
        spec = obj.get("spec") or {}
        found["spec"] = {key: shared(spec[key]) for key in _SERVICE if key in spec}
        if "ports" in found["spec"]:
            found["spec"]["ports"] = _ports(spec["ports"])
        if not (found.get("status") or {}).get("loadBalancer"):
            found.pop("status", None)
    elif kind == "EndpointSlice":
        found["ports"] = _ports(obj.get("ports") or ())
        found["endpoints"] = [_endpoint(item) for item in obj.get("endpoints") or ()]
    return found


def _meta(meta: Mapping[str, Any]) -> Object:
    found = {key: shared(meta[key]) for key in _META if key in meta}
    for key in ("labels", "annotations"):
        values = {sys.intern(name): shared(value) for name, value in (meta.get(key) or {}).items() if name != _APPLIED}
        if values:
            found[key] = values
    ours = [
        {"manager": sys.intern(item["manager"]), "subresource": "status"}
        for item in meta.get("managedFields") or ()
        if item.get("subresource") == "status" and "manager" in item
    ]
    if ours:
        found["managedFields"] = ours  # who wrote the status: another gateway, or this one
    return found


def shared(value: Any) -> Any:
    """Return an equal value whose short texts are kept once in the process."""
    if isinstance(value, str):
        return sys.intern(value) if len(value) <= _LONGEST else value
    if isinstance(value, dict):
        return {sys.intern(key): shared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shared(item) for item in value]
    return value


def _endpoint(item: Mapping[str, Any]) -> Object:
    conditions = item.get("conditions") or {}
    return {"addresses": item.get("addresses") or [], "conditions": _conditions(*map(conditions.get, _CONDITIONS))}


@functools.lru_cache(maxsize=64)
def _conditions(*values: bool | None) -> Object:
    return {key: value for key, value in zip(_CONDITIONS, values, strict=True) if value is not None}


def _ports(ports: Sequence[Mapping[str, Any]]) -> tuple[Object, ...]:
    return _equal_ports(tuple(tuple((key, port[key]) for key in _PORT if key in port) for port in ports))


@functools.lru_cache(maxsize=4096)
def _equal_ports(ports: tuple[tuple[tuple[str, Any], ...], ...]) -> tuple[Object, ...]:
    return tuple({sys.intern(key): shared(value) for key, value in port} for port in ports)
