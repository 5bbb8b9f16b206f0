"""Counts in bounded memory: the most frequent values, and lines per interval. Pure."""

from __future__ import annotations

import heapq
from typing import Any

_KEPT = 10_000
_LONGEST = 256


class Top:
    """The most frequent of any number of values; with very many distinct ones, rare ones are forgotten."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._counts: dict[str, int] = {}
        self._all = 0
        self.exact = True

    def add(self, value: str) -> None:
        """Count a value; empty ones are counted among the rest only."""
        self._all += 1
        key = value[:_LONGEST]
        if key:
            self._counts[key] = self._counts.get(key, 0) + 1
            if len(self._counts) > 2 * self._kept:
                self._counts = dict(self._most(self._kept))
                self.exact = False

    def as_json(self, field: str, size: int) -> dict[str, Any]:
        """Return the `size` most frequent values, and how many lines had another one."""
        most = self._most(size)
        items = [{"value": value, "count": count} for value, count in most]
        other = self._all - sum(count for _, count in most)
        return {"field": field, "items": items, "other": other, "exact": self.exact}

    def _most(self, size: int) -> list[tuple[str, int]]:
        return heapq.nsmallest(size, self._counts.items(), key=lambda item: (-item[1], item[0]))


class Buckets:
    """Lines per interval, in KubeSphere's shape; `interval` in seconds, aligned to the epoch."""

    def __init__(self, interval: int) -> None:
        self._width = interval * 1000
        self._counts: dict[int, int] = {}

    def add(self, millis: int, count: int = 1) -> None:
        """Count lines of a time in unix milliseconds."""
        start = millis - millis % self._width
        self._counts[start] = self._counts.get(start, 0) + count

    def as_json(self) -> dict[str, Any]:
        """Return all intervals from the first line's to the last's, also those without lines."""
        if not self._counts:
            return {"total": 0, "histograms": []}
        starts = range(min(self._counts), max(self._counts) + 1, self._width)
        rows = [{"time": start, "count": self._counts.get(start, 0)} for start in starts]
        return {"total": sum(self._counts.values()), "histograms": rows}
