"""Kubernetes Events, for people: what happened to their object, and what to do.

Writing never blocks the work: events wait in a bounded queue, equal ones become one with a count, and an object that
causes a flood is cut to a few a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway_operator.errors import ApiError, NotFound
from gateway_operator.kube.api import Api
from gateway_operator.kube.objects import ObjectRef, Resource
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

_EVENTS = Resource("", "v1", "Event", "events", namespaced=True)
_MESSAGE_LIMIT = 1024  # the API server refuses longer ones
_QUEUE_LIMIT = 1000
_REMEMBERED = 2000
_PER_OBJECT = 25  # new events of one object in a minute
_WINDOW = 60.0


@dataclass(frozen=True, slots=True)
class _Entry:
    ref: ObjectRef
    type: str
    reason: str
    message: str


class EventRecorder:
    """Records Events as `component`; start `run()` beside the work."""

    def __init__(self, api: Api, component: str, instance: str = "") -> None:
        self._api = api
        self._source = {"component": component} | ({"host": instance} if instance else {})
        self._component = component
        self._queue: deque[_Entry] = deque(maxlen=_QUEUE_LIMIT)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._written: OrderedDict[_Entry, tuple[str, int]] = OrderedDict()
        self._recent: dict[ObjectRef, deque[float]] = {}

    def event(self, target: dict[str, Any] | ObjectRef, *, type_: str = "Normal", reason: str, message: str) -> None:
        """Say that something happened to `target`. `type_` is Normal or Warning, `reason` one CamelCase word."""
        ref = target if isinstance(target, ObjectRef) else ObjectRef.of(target)
        entry = _Entry(ref, type_, reason, message[:_MESSAGE_LIMIT])
        if entry not in self._written and not self._allowed(ref):
            return
        self._queue.append(entry)
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Write what is recorded, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._write(self._queue.popleft())
            self._idle.set()

    async def flush(self) -> None:
        """Wait until all that was recorded is written; needs `run()`."""
        await self._idle.wait()

    def _allowed(self, ref: ObjectRef) -> bool:
        now = time.monotonic()
        recent = self._recent.setdefault(ref, deque())
        while recent and now - recent[0] > _WINDOW:
            recent.popleft()
        if len(recent) >= _PER_OBJECT:
            return False
        recent.append(now)
        if len(self._recent) > _REMEMBERED:
            self._recent = {key: times for key, times in self._recent.items() if times and now - times[-1] < _WINDOW}
        return True

    async def _write(self, entry: _Entry) -> None:
        try:
            known = self._written.get(entry)
            if known is None or not await self._count_up(entry, *known):
                await self._create(entry)
        except ApiError as error:
            log.warning("event not written", object=str(entry.ref), reason=entry.reason, error=str(error))
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    async def _count_up(self, entry: _Entry, name: str, count: int) -> bool:
        patch = {"count": count + 1, "lastTimestamp": _now()}
        try:
            await self._api.merge_patch(_EVENTS, name, patch, entry.ref.namespace or "default")
        except NotFound:  # events live for an hour
            return False
        self._written[entry] = (name, count + 1)
        return True

    async def _create(self, entry: _Entry) -> None:
        namespace = entry.ref.namespace or "default"  # where events of cluster-scoped objects belong
        now = _now()
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{entry.ref.name[:200]}.", "namespace": namespace},
            "involvedObject": {
                "apiVersion": entry.ref.api_version,
                "kind": entry.ref.kind,
                "namespace": entry.ref.namespace,
                "name": entry.ref.name,
                "uid": entry.ref.uid,
            },
            "type": entry.type,
            "reason": entry.reason,
            "message": entry.message,
            "source": self._source,
            "reportingComponent": self._component,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        created = await self._api.create(_EVENTS, body, namespace)
        self._written[entry] = (created["metadata"]["name"], 1)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
