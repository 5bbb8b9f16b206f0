"""Objects with field owners, for tests of comparisons."""

from __future__ import annotations

import copy
from typing import Any


def entry(manager: str, fields: dict[str, Any], *, time: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    """Return an entry of managedFields."""
    return {"manager": manager, "operation": "Update", "fieldsV1": fields, "time": time, **more}


def managed(obj: dict[str, Any], *entries: dict[str, Any]) -> dict[str, Any]:
    """Return the object with these entries, a name and a version."""
    made = copy.deepcopy(obj)
    meta = {"name": "a", "namespace": "ns", "resourceVersion": "7", **made.get("metadata", {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", **made, "metadata": {**meta, "managedFields": list(entries)}}
