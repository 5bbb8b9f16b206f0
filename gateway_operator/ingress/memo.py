"""Work that depends on one version of one object is kept until it changes, so that a pass costs what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Version = tuple[str, ...]


class Memo(Generic[T]):
    """A function of an object, remembered by UID and resourceVersion."""

    def __init__(self, compute: Callable[[Mapping[str, Any]], T]) -> None:
        self._compute = compute
        self._known: dict[Version, T] = {}
        self._asked: dict[Version, T] = {}

    def __call__(self, obj: Mapping[str, Any]) -> T:
        """Return the result for this version of the object."""
        meta = obj["metadata"]
        version = (
            str(meta.get("uid", "")),
            str(meta.get("resourceVersion", "")),
            meta.get("namespace", ""),
            meta["name"],
        )
        result = self._asked.get(version)
        if result is None:
            result = self._known[version] if version in self._known else self._compute(obj)
            self._asked[version] = result
        return result

    def sweep(self) -> None:
        """End a pass: forget what it didn't ask for."""
        self._known, self._asked = self._asked, {}
