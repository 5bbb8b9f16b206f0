"""The custom resources of one row as last seen, and whether that view can be trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway_operator.kube import Resource
from gateway_operator.releases.watches import Watch

Object = dict[str, Any]
OnEvent = Callable[["Row", str, Object, Object | None], None]  # row, ADDED|MODIFIED|DELETED, object, previous
StoreKey = tuple[str, str]


def store_key(obj: Object) -> StoreKey:
    """Return (namespace, name)."""
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def is_newer(new: Object, old: Object) -> bool:
    """Compare two states of an object; etcd's revisions grow."""
    a, b = new["metadata"].get("resourceVersion", ""), old["metadata"].get("resourceVersion", "")
    return int(a) > int(b) if a.isdigit() and b.isdigit() else a != b


class Row:
    """One row at run time."""

    def __init__(self, watch: Watch, on_event: OnEvent, *, helm_runs: int = 4) -> None:
        self.watch = watch
        self.helm_slots = asyncio.Semaphore(watch.max_concurrent_reconciles or helm_runs)
        self.store: dict[StoreKey, Object] = {}
        self.synced = asyncio.Event()
        self.resource: Resource | None = None
        self.problem: str | None = "is starting"
        self.waits = False  # the problem is a missing CRD or a decision, not a fault
        self._on_event = on_event

    @property
    def is_faulty(self) -> bool:
        """True when the row should be served and isn't."""
        return self.problem is not None and not self.waits

    def take(self, type_: str | None, obj: Object) -> None:
        """Take in what a stream, a list or an own write says."""
        obj.setdefault("apiVersion", self.watch.api_version)
        obj.setdefault("kind", self.watch.kind)
        key = store_key(obj)
        previous = self.store.get(key)
        same = previous is not None and previous["metadata"].get("uid") == obj["metadata"].get("uid")
        if type_ == "DELETED":
            if previous is not None and same:
                del self.store[key]
                self._on_event(self, "DELETED", obj, previous)
            return
        if previous is not None and same and not is_newer(obj, previous):
            return
        self.store[key] = obj
        self._on_event(self, "MODIFIED" if same else "ADDED", obj, previous)
