"""Values in the order of their keys, where one of many thousands may come or go without sorting the rest again."""

from __future__ import annotations

import bisect
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Any)
V = TypeVar("V")


class Ordered(Generic[K, V]):
    """A sorted mapping that gives its values as one tuple."""

    def __init__(self) -> None:
        self._keys: list[K] = []
        self._values: list[V] = []
        self._all: tuple[V, ...] | None = ()

    def put(self, key: K, value: V) -> None:
        """Set one value."""
        at = bisect.bisect_left(self._keys, key)
        self._all = None
        if at < len(self._keys) and self._keys[at] == key:
            self._values[at] = value
        else:
            self._keys.insert(at, key)
            self._values.insert(at, value)

    def drop(self, key: K) -> None:
        """Take one value out, if it is there."""
        at = bisect.bisect_left(self._keys, key)
        if at < len(self._keys) and self._keys[at] == key:
            self._all = None
            del self._keys[at], self._values[at]

    def first(self) -> V | None:
        """Return the value of the smallest key."""
        return self._values[0] if self._values else None

    def all(self) -> tuple[V, ...]:
        """Return all values; the same object until something changes."""
        if self._all is None:
            self._all = tuple(self._values)
        return self._all
