"""The objects of one pass, as last seen, so that everything after it works on one consistent value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str]
Object = Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """Objects by (namespace, name); EndpointSlices by the Service they belong to. `ingresses` are ours only."""

    ingresses: Sequence[Object] = ()
    services: Mapping[Key, Object] = field(default_factory=dict)
    slices: Mapping[Key, Sequence[Object]] = field(default_factory=dict)
    secrets: Mapping[Key, Object] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)


def group_slices(slices: Mapping[Key, Object]) -> dict[Key, list[Object]]:
    """Index EndpointSlices by their Service."""
    grouped: dict[Key, list[Object]] = {}
    for (namespace, _), item in slices.items():
        service = (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
        if service:
            grouped.setdefault((namespace, service), []).append(item)
    return grouped
