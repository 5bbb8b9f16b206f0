"""Lets a release wait for the one that made its custom resource, so that a change of both is one change below.

A Gateway's release makes an Nginx, which has a release of its own. When the charts of both are new (an operator
upgrade, a take-over), the Nginx first gets its new values and is upgraded then: once, and with values of its own
chart's age.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_operator.names import release_name
from gateway_operator.releases.claims import Claims
from gateway_operator.releases.dependents import Dependents
from gateway_operator.releases.objects import object_id, release_of
from gateway_operator.releases.queue import Key
from gateway_operator.releases.rows import Object, Row, is_newer


class Parents:
    """Remembers with which chart each custom resource had its last pass."""

    def __init__(self, rows: Mapping[tuple[str, str], Row], claims: Claims, dependents: Dependents) -> None:
        self._rows = rows
        self._claims = claims
        self._dependents = dependents
        self._passed: dict[Key, str] = {}

    def passed(self, key: Key, row: Row) -> None:
        """Note that a pass ended, however; nobody waits for a parent that can't be served."""
        self._passed[key] = self._rows.get(key.row, row).watch.chart.digest  # `row` may be one that a rollout holds

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone."""
        self._passed.pop(key, None)

    def ahead(self, key: Key, obj: Object) -> str | None:
        """Name what has to come before the release of `obj`; None when it may go."""
        release = release_of(obj)
        if release is None:
            return None
        others = [row for row in self._rows.values() if row.watch.key != key.row]
        if starting := [str(row.watch) for row in others if _starts(row)]:
            return f"the first view of {', '.join(starting)}"
        parent = self._claims.holder(release) or _named(others, *release)
        if parent is None or (parent.namespace, parent.name) not in self._rows[parent.row].store:
            return None
        if self._passed.get(parent) != self._rows[parent.row].watch.chart.digest:
            return f"{parent.row[1]} {parent.name}"
        seen = self._dependents.live(object_id(obj))
        return "its own latest values" if seen is not None and is_newer(seen, obj) else None


def _starts(row: Row) -> bool:
    return row.problem == "is starting"


def _named(rows: list[Row], namespace: str, name: str) -> Key | None:
    """Find the resource whose release has this name, where nobody has claimed it yet."""
    for row in rows:
        for where, what in row.store:
            if where == namespace and release_name(what) == name and not _leaves(row.store[where, what]):
                return Key(row.watch.key, where, what)
    return None


def _leaves(obj: dict[str, Any]) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))
