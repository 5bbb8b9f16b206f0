"""Where clients reach this gateway: the value of every Ingress's status, by upstream's rules.

`--publish-status-address` wins over `--publish-service`, which wins over the addresses of the nodes that run ready
pods.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Address = dict[str, str]


def from_flag(text: str) -> list[Address]:
    """Read a comma-separated list of addresses and host names."""
    return _sorted(_address(item.strip()) for item in text.split(",") if item.strip())


def from_service(service: Mapping[str, Any] | None) -> list[Address]:
    """Read the published Service; a LoadBalancer that waits for its address gives none."""
    if service is None:
        return []
    spec = service.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    external = [_address(item) for item in spec.get("externalIPs") or ()]
    cluster = [_address(spec["clusterIP"])] if spec.get("clusterIP") not in {None, "", "None"} else []
    if kind == "ExternalName":
        return [{"hostname": spec["externalName"]}]
    if kind == "ClusterIP":
        return cluster
    if kind == "NodePort":
        return _sorted(external or cluster)
    given = (service.get("status") or {}).get("loadBalancer", {}).get("ingress") or ()
    balancer = [{"ip": item["ip"]} if item.get("ip") else {"hostname": item["hostname"]} for item in given]
    return _sorted([*balancer, *external])


def from_pods(pods: Iterable[Mapping[str, Any]], nodes: Mapping[str, Any] | None, *, internal: bool) -> list[Address]:
    """Read the nodes of ready pods; where nodes can't be read (None) the pods know their host's address."""
    found = []
    for pod in pods:
        if not _is_ready(pod):
            continue
        node = (nodes or {}).get((pod.get("spec") or {}).get("nodeName", ""))
        found.append(_node_address(node, internal=internal) if node else (pod.get("status") or {}).get("hostIP", ""))
    return _sorted(_address(item) for item in found if item)


def _node_address(node: Mapping[str, Any], *, internal: bool) -> str:
    by_type: dict[str, str] = {}
    for item in (node.get("status") or {}).get("addresses") or ():
        by_type.setdefault(item["type"], item["address"])
    order = ("InternalIP",) if internal else ("ExternalIP", "InternalIP")
    return next((by_type[kind] for kind in order if by_type.get(kind)), "")


def _is_ready(pod: Mapping[str, Any]) -> bool:
    status = pod.get("status") or {}
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
    return ready and status.get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")


def _address(text: str) -> Address:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return {"hostname": text}
    return {"ip": text}


def _sorted(items: Iterable[Address]) -> list[Address]:
    unique = {tuple(item.items()): item for item in items}
    return [unique[key] for key in sorted(unique)]


def same(current: Sequence[Mapping[str, Any]], wanted: Sequence[Address]) -> bool:
    """Compare what a status holds with what it should hold, whatever the order and without ports."""
    plain = [{key: item[key] for key in ("ip", "hostname") if item.get(key)} for item in current]
    return _sorted(plain) == _sorted(wanted)
