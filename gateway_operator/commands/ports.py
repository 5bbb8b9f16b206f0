"""The part of a plan that people outside the cluster depend on: ports and addresses. Pure.

A changed NodePort or load balancer breaks what points to it, so these changes are shown first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
_FIELDS = (
    "type",
    "clusterIP",
    "loadBalancerIP",
    "loadBalancerClass",
    "externalIPs",
    "externalTrafficPolicy",
    "loadBalancerSourceRanges",
    "ipFamilies",
    "ipFamilyPolicy",
    "healthCheckNodePort",
)
_WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet")
Places = dict[str, str]


@dataclass(frozen=True)
class Move:
    """One port or address that would change; empty: there is none."""

    object: str
    what: str
    old: str
    new: str


def moves(live: Sequence[Object], wanted: Sequence[Object]) -> list[Move]:
    """Compare what is there with what would be.

    What `wanted` leaves open the API server keeps: a Service's addresses and node ports stay where it names none.
    """
    before, after = _by_name(live), _by_name(wanted)
    found = []
    for name in sorted(before.keys() | after.keys()):
        old = _places(before.get(name))
        new = _settled(before.get(name), after.get(name), old)
        found += [
            Move(name, what, old.get(what, ""), new.get(what, ""))
            for what in dict.fromkeys([*old, *new])
            if old.get(what, "") != new.get(what, "")
        ]
    return found


def _by_name(objects: Sequence[Object]) -> dict[str, Object]:
    return {
        f"{o['kind']} {o['metadata']['name']}": o for o in objects if o["kind"] in {"Service", *_WORKLOADS} and _is(o)
    }


def _is(obj: Object) -> bool:
    return str(obj.get("apiVersion")) in {"v1", "apps/v1"}


def _places(obj: Object | None) -> Places:
    if obj is None:
        return {}
    return _service(obj.get("spec") or {}) if obj["kind"] == "Service" else _host_ports(obj)


def _service(spec: Mapping[str, Any]) -> Places:
    found = {field: _text(spec[field]) for field in _FIELDS if spec.get(field)}
    for port in spec.get("ports") or ():
        name = f"port {port.get('name') or port.get('port')}"
        found[name] = f"{port.get('port')}/{port.get('protocol') or 'TCP'}"
        if port.get("nodePort"):
            found[f"{name} nodePort"] = str(port["nodePort"])
    return found


def _host_ports(workload: Object) -> Places:
    pod = ((workload.get("spec") or {}).get("template") or {}).get("spec") or {}
    found = {"hostNetwork": "true"} if pod.get("hostNetwork") else {}
    for container in pod.get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                key = f"hostPort {port.get('name') or port['containerPort']}"
                found[key] = f"{port['hostPort']}/{port.get('protocol') or 'TCP'}"
    return found


def _settled(live: Object | None, wanted: Object | None, old: Places) -> Places:
    """Fill in what the API server would keep of a live Service, and what it would choose anew."""
    new = _places(wanted)
    if wanted is None or wanted["kind"] != "Service":
        return new
    spec = wanted.get("spec") or {}
    type_ = new.setdefault("type", "ClusterIP")
    allots = type_ == "NodePort" or (type_ == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)
    for field in ("clusterIP", "ipFamilies", "ipFamilyPolicy", "externalTrafficPolicy", "healthCheckNodePort"):
        if field not in new and field in old and (field != "externalTrafficPolicy" or type_ != "ClusterIP"):
            new[field] = old[field]
    if live is None and "clusterIP" not in new:
        new["clusterIP"] = "(chosen by the cluster)"
    for what in [key for key in new if key.startswith("port ") and not key.endswith(" nodePort")]:
        key = f"{what} nodePort"
        if allots and key not in new:
            new[key] = old.get(key) or "(chosen by the cluster)"
    return new


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
