"""The finalizer comes before the first helm run and goes after the last object, so that nothing is left behind.

Finalizers of the Helm operators that we replace count as ours: an object that moved over is uninstalled like any other.
"""

from __future__ import annotations

from typing import Any

from gateway_operator.kube import Api, Resource
from gateway_operator.releases.names import FINALIZER, FINALIZERS


def has_finalizer(obj: dict[str, Any]) -> bool:
    """Tell whether the object waits for us when it is deleted."""
    return any(f in FINALIZERS for f in obj["metadata"].get("finalizers") or [])


async def add_finalizer(api: Api, resource: Resource, obj: dict[str, Any]) -> dict[str, Any]:
    """Add ours. Raises Conflict when the object changed meanwhile."""
    return await _write(api, resource, obj, [*(obj["metadata"].get("finalizers") or []), FINALIZER])


async def remove_finalizers(api: Api, resource: Resource, obj: dict[str, Any]) -> dict[str, Any]:
    """Remove ours and those that count as ours. Raises Conflict, NotFound."""
    kept = [f for f in obj["metadata"].get("finalizers") or [] if f not in FINALIZERS]
    return await _write(api, resource, obj, kept)


async def _write(api: Api, resource: Resource, obj: dict[str, Any], finalizers: list[str]) -> dict[str, Any]:
    meta = obj["metadata"]
    patch = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": finalizers}}
    return await api.merge_patch(resource, meta["name"], patch, meta.get("namespace"))
