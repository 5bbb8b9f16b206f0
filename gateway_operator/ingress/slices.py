"""EndpointSlices by the Service they belong to, kept up to date by events instead of sorted anew for each pass."""

from __future__ import annotations

from typing import Any

from gateway_operator.ingress.memo import Line
from gateway_operator.ingress.snapshot import Key

SERVICE_LABEL = "kubernetes.io/service-name"


class SliceIndex:
    """`slices` has a tuple for each Service; a tuple is replaced when one of its slices changes, never altered."""

    def __init__(self) -> None:
        self.slices = Line[Key, tuple[dict[str, Any], ...]]()

    def take(self, type_: str, obj: dict[str, Any], previous: dict[str, Any] | None) -> None:
        """Take an event of an informer."""
        old = _service(previous)
        if old is not None:
            self._put(old, previous, None)
        new = _service(obj) if type_ != "DELETED" else None
        if new is not None:
            self._put(new, None, obj)

    def _put(self, key: Key, gone: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        found = [item for item in self.slices.get(key) or () if item is not gone]
        if new is not None:
            found.append(new)
        if found:
            self.slices.put(key, tuple(sorted(found, key=lambda item: str(item["metadata"]["name"]))))
        else:
            self.slices.drop(key)


def _service(obj: dict[str, Any] | None) -> Key | None:
    if obj is None:
        return None
    meta = obj["metadata"]
    name = (meta.get("labels") or {}).get(SERVICE_LABEL)
    return (meta.get("namespace", ""), name) if name else None
