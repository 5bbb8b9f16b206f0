"""The custom resources of one row as last seen, and whether that view can be trusted."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Iterable
from typing import Any

from gateway_operator.gateways.verdicts import Notice
from gateway_operator.kube import Resource
from gateway_operator.releases import names
from gateway_operator.releases.kinds import KINDS
from gateway_operator.releases.watches import Watch

Object = dict[str, Any]
OnEvent = Callable[["Row", str, Object, Object | None], None]  # row, ADDED|MODIFIED|DELETED, object, previous
StoreKey = tuple[str, str]
_FORBIDDEN = 403


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
        self.store: dict[StoreKey, Object] = {}
        self.synced = asyncio.Event()
        self.resource: Resource | None = None
        self.problem: str | None = "is starting"
        self.waits = False  # the problem is a missing CRD or a decision, not a fault
        self.heard_at: float | None = None  # monotonic; when the API server last told the stream something
        self.frozen = False
        self.notices: tuple[Notice, ...] = ()
        self.watching: bool | None = None  # None: not asked yet; False: refused
        self._helm_runs = helm_runs
        self._on_event = on_event
        self.helm_slots = asyncio.Semaphore(watch.max_concurrent_reconciles or helm_runs)

    @property
    def is_faulty(self) -> bool:
        """True when the row should be served and isn't."""
        return self.problem is not None and not self.waits

    @property
    def silence(self) -> float | None:
        """Seconds since the stream last heard from the API server; None before the first time."""
        return None if self.heard_at is None else time.monotonic() - self.heard_at

    def heard(self, status: int, watching: bool) -> None:  # noqa: FBT001 - called by kopf's session
        """Note an answer of the API server; called in kopf's thread."""
        if status < 400:  # noqa: PLR2004 - an answer that isn't an error
            self.heard_at = time.monotonic()
        if watching and (status < 400 or status == _FORBIDDEN):  # noqa: PLR2004
            self.watching = status != _FORBIDDEN

    def change(self, watch: Watch) -> None:
        """Go on by a new row for the same kind. After a change of version, what the store holds counts as old."""
        if watch.api_version != self.watch.api_version:
            self.store.update({key: _aged(obj, watch.api_version) for key, obj in self.store.items()})
        if watch.max_concurrent_reconciles != self.watch.max_concurrent_reconciles:
            self.helm_slots = asyncio.Semaphore(watch.max_concurrent_reconciles or self._helm_runs)
        self.watch = watch

    def view(self, watch: Watch, *, frozen: bool = False, notices: tuple[Notice, ...] = ()) -> Row:
        """Return this row as one pass sees it: the same objects, and a `watch` that no reload changes midway.

        `frozen` keeps helm from upgrading; `notices` go into the status.
        """
        other = copy.copy(self)
        other.watch, other.frozen, other.notices = watch, frozen, notices
        return other

    def take(self, type_: str | None, obj: Object) -> None:
        """Take in what a stream, a list or an own write says."""
        obj.setdefault("apiVersion", self.watch.api_version)
        obj.setdefault("kind", self.watch.kind)
        _slim(obj, getattr(KINDS.get(self.watch.key), "unread", ()))
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


def _slim(obj: Object, unread: Iterable[tuple[str, str]]) -> None:
    """Keep of `managedFields` only what says which fields of the status are ours: they are most of an object.

    `unread` are the fields, each with the one that it is in, that nobody here reads.
    """
    for part, name in unread:
        if isinstance(inside := obj.get(part), dict):
            inside.pop(name, None)
    meta = obj["metadata"]
    if fields := meta.get("managedFields"):
        meta["managedFields"] = [entry for entry in fields if entry.get("manager") == names.STATUS_MANAGER]


def _aged(obj: Object, api_version: str) -> Object:
    """Give an object a version before all others; a write with "0" would be one without a version."""
    return {**obj, "apiVersion": api_version, "metadata": {**obj["metadata"], "resourceVersion": "1"}}
