"""Gateways as clients get them: the object, with what KubeSphere's API adds on read. Pure.

`status.loadBalancer` and `status.service` come from the status that the operator keeps, so that a list needs no look
at Services.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from gateway_operator.gateways.claims import mapping

Object = dict[str, Any]
CREATOR = "kubesphere.io/creator"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_PUBLIC_META = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp")
_LEAVING = frozenset({("ReleaseFailed", "True"), ("Deployed", "False"), ("Ready", "False")})
_PUBLIC_STATUS = (
    "scope", "ingressClass", "addresses", "address", "ports", "replicas", "readyReplicas", "loadBalancer", "service",
)  # fmt: skip


def full(gateway: Mapping[str, Any]) -> Object:
    """Return a Gateway for those who may view it."""
    meta = {key: value for key, value in gateway["metadata"].items() if key != "managedFields"}
    if _LAST_APPLIED in (meta.get("annotations") or {}):
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k != _LAST_APPLIED}
    shown = {**gateway, "metadata": meta}
    status = mapping(gateway, "status")
    if status:
        shown["status"] = {**status, **_read_only(status)}
    return shown


def public(gateway: Mapping[str, Any]) -> Object:
    """Return what a project sees of the cluster's gateway that serves it: where it is, not how it is configured."""
    shown = full(gateway)
    meta, spec, status = shown["metadata"], mapping(shown, "spec"), mapping(shown, "status")
    ready = [c for c in status.get("conditions") or () if c.get("type") in {"Ready", "AddressAssigned"}]
    return {
        "apiVersion": shown.get("apiVersion"),
        "kind": shown.get("kind"),
        "metadata": {key: meta[key] for key in _PUBLIC_META if key in meta},
        "spec": {
            "controller": {"scope": dict(mapping(spec, "controller", "scope"))},
            "service": {"type": mapping(spec, "service").get("type") or "LoadBalancer"},
            "deployment": {"replicas": mapping(spec, "deployment").get("replicas", 1)},
        },
        "status": {**{key: status[key] for key in _PUBLIC_STATUS if key in status}, "conditions": ready},
    }


def waiting_for(gateway: Mapping[str, Any]) -> str:
    """Return what the operator says of a gateway that is being deleted."""
    conditions = {one.get("type"): one for one in mapping(gateway, "status").get("conditions") or ()}
    leaving = [conditions.get(name, {}) for name in ("ReleaseFailed", "Deployed", "Ready")]
    said = [str(one["message"]) for one in leaving if one.get("message") and (one["type"], one["status"]) in _LEAVING]
    return said[0] if said else "the operator has not said anything yet"


def dump(shown: Any) -> bytes:
    """Return compact JSON."""
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()


def _read_only(status: Mapping[str, Any]) -> Object:
    """Return the two fields of KubeSphere's API that the stored object hasn't."""
    points = [{_kind(address): address} for address in status.get("addresses") or ()]
    return {"loadBalancer": {"ingress": points} if points else {}, "service": list(status.get("ports") or ())}


def _kind(address: str) -> str:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return "hostname"
    return "ip"
