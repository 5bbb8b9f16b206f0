"""Is a release there? Pure rules over workloads and custom resources, as kstatus has them.

Each function returns None when the object is ready, or what is still awaited.
"""

from __future__ import annotations

from typing import Any

from gateway_operator.releases.kinds import group_of

WORKLOADS = frozenset({("apps", "Deployment"), ("apps", "DaemonSet"), ("apps", "StatefulSet")})


def awaited(obj: dict[str, Any], *, watched: bool = False) -> str | None:
    """Say what `obj` still waits for; `watched` means a custom resource of a kind in watches.yaml."""
    key = (group_of(obj), obj["kind"])
    what = f"{obj['kind']} {obj['metadata']['name']}"
    if obj["metadata"].get("deletionTimestamp"):
        return f"{what} is being deleted"
    if watched:
        reason = _custom(obj)
    elif key in WORKLOADS:
        reason = _observed(obj) or _RULES[obj["kind"]](obj)
    else:
        return None
    return f"{what}: {reason}" if reason else None


def _observed(obj: dict[str, Any]) -> str | None:
    seen = (obj.get("status") or {}).get("observedGeneration", 0)
    return None if seen >= obj["metadata"].get("generation", 1) else "its controller has not seen the last change"


def _deployment(obj: dict[str, Any]) -> str | None:
    status, wanted = obj.get("status") or {}, _replicas(obj)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    for condition in status.get("conditions") or []:
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return f"{available} of {wanted} replicas available, and its progress deadline is over"
    if updated < wanted:
        return f"{updated} of {wanted} replicas updated"
    if status.get("replicas", 0) > updated:
        return f"{status['replicas'] - updated} old replicas are still there"
    return None if available >= wanted else f"{available} of {wanted} replicas available"


def _daemon_set(obj: dict[str, Any]) -> str | None:
    status = obj.get("status") or {}
    wanted = status.get("desiredNumberScheduled")
    if wanted is None:
        return "its controller has not counted the nodes"
    if (obj["spec"].get("updateStrategy") or {}).get("type") != "OnDelete":
        updated = status.get("updatedNumberScheduled", 0)
        if updated < wanted:
            return f"{updated} of {wanted} pods updated"
    available = status.get("numberAvailable", 0)
    return None if available >= wanted else f"{available} of {wanted} pods available"


def _stateful_set(obj: dict[str, Any]) -> str | None:
    status, wanted = obj.get("status") or {}, _replicas(obj)
    strategy = obj["spec"].get("updateStrategy") or {}
    if strategy.get("type") != "OnDelete":
        partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
        updated, due = status.get("updatedReplicas", 0), max(0, wanted - partition)
        if updated < due:
            return f"{updated} of {due} replicas updated"
    available = status.get("availableReplicas", status.get("readyReplicas", 0))
    return None if available >= wanted else f"{available} of {wanted} replicas available"


_RULES = {"Deployment": _deployment, "DaemonSet": _daemon_set, "StatefulSet": _stateful_set}


def _custom(obj: dict[str, Any]) -> str | None:
    status, generation = obj.get("status") or {}, obj["metadata"].get("generation", 1)
    ready = next((c for c in status.get("conditions") or [] if c.get("type") == "Ready"), None)
    if ready is None:
        return "has no Ready condition yet"
    if ready.get("observedGeneration", status.get("observedGeneration", 0)) < generation:
        return "its last change has not been taken up"
    return None if ready.get("status") == "True" else str(ready.get("message") or ready.get("reason") or "is not ready")


def _replicas(obj: dict[str, Any]) -> int:
    wanted = obj["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)
