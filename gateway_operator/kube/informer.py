"""Keeps a local copy of one kind's objects, and says what changed.

It is the only loop that lists and watches. A watch that ends is taken up again where it stopped; one that is too old
(410 Gone) begins with a new list, and what vanished between the two lists is reported as deleted.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Protocol

from gateway_operator.errors import ApiError, Gone, KindNotServed
from gateway_operator.kube.api import Api
from gateway_operator.kube.objects import Resource
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

Key = tuple[str, str]
OnEvent = Callable[[str, Any, Any | None], None]
_FIRST_DELAY = 0.2
_LAST_DELAY = 15.0
_GOOD_STREAM = 5.0  # seconds after which a stream counts as healthy and the delay starts small again


class Small(Protocol):
    """What can be kept instead of an object, where there are thousands: dicts are large."""

    @property
    def key(self) -> Key: ...  # noqa: D102

    @property
    def version(self) -> str: ...  # noqa: D102


def key_of(obj: dict[str, Any]) -> Key:
    """Return (namespace or "", name)."""
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


class Informer:
    """A watched kind. `on_event(type, object, previous)` is called for ADDED, MODIFIED and DELETED, in order.

    `strip` returns what is kept of an object and told of it: a smaller object, or something `Small`.
    """

    def __init__(
        self,
        api: Api,
        res: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        strip: Callable[[dict[str, Any]], dict[str, Any] | Small] | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        self.res = res
        self.store: dict[Key, Any] = {}
        self.synced = asyncio.Event()
        self.error: str | None = None
        self._api = api
        self._namespace = namespace
        self._selectors: dict[str, Any] = {
            "label_selector": label_selector,
            "field_selector": field_selector,
            "metadata_only": metadata_only,
        }
        self._strip = strip
        self._on_event = on_event
        self._version = ""

    async def run(self) -> None:
        """List and watch until cancelled; errors are kept in `error`, logged once, and tried again."""
        delay = _FIRST_DELAY
        while True:
            started = time.monotonic()
            try:
                await self._follow()
            except (ApiError, KindNotServed) as error:
                self._note(error)
            if time.monotonic() - started > _GOOD_STREAM:
                delay = _FIRST_DELAY
            if self.error is None:
                continue  # the server ended a healthy stream, as it does every few minutes
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
            delay = min(delay * 2, _LAST_DELAY)

    async def _follow(self) -> None:
        if not self._version:
            await self._relist()
        stream = self._api.watch(self.res, self._namespace, resource_version=self._version, **self._selectors)
        async for event in stream:
            self._healthy()
            self._version = event.object["metadata"]["resourceVersion"]
            if event.type != "BOOKMARK":
                key, _, obj = self._kept(event.object)
                self._put(event.type, key, obj)
        self._healthy()

    async def _relist(self) -> None:
        listing = await self._api.list(self.res, self._namespace, each=self._kept, **self._selectors)
        seen: dict[Key, tuple[str, Any]] = {key: (version, obj) for key, version, obj in listing.items}
        for key in [key for key in self.store if key not in seen]:
            self._put("DELETED", key, self.store[key])
        for key, (version, obj) in seen.items():
            known = self.store.get(key)
            if known is None or _version(known) != version:
                self._put("MODIFIED" if known else "ADDED", key, obj)
        self._version = listing.resource_version
        self._healthy()
        self.synced.set()

    def _kept(self, obj: dict[str, Any]) -> tuple[Key, str, Any]:
        """Return key, version and what is kept of an object."""
        kept = self._strip(obj) if self._strip else obj
        if isinstance(kept, dict):
            return key_of(obj), obj["metadata"]["resourceVersion"], kept
        return kept.key, kept.version, kept

    def _put(self, type_: str, key: Key, obj: Any) -> None:
        previous = self.store.pop(key, None) if type_ == "DELETED" else self.store.get(key)
        if type_ != "DELETED":
            self.store[key] = obj
        if self._on_event:
            try:
                self._on_event(type_, obj, previous)
            except Exception:  # one object's trouble must not end the watch of all the others
                log.exception("an event could not be handled", kind=self.res.kind, namespace=key[0], name=key[1])

    def _healthy(self) -> None:
        if self.error:
            log.info("watch works again", kind=self.res.kind, namespace=self._namespace)
        self.error = None

    def _note(self, error: ApiError | KindNotServed) -> None:
        if isinstance(error, Gone):
            self._version = ""
        if str(error) != self.error:
            log.warning("watch interrupted", kind=self.res.kind, namespace=self._namespace, error=str(error))
        self.error = str(error)


def _version(kept: Any) -> str:
    return str(kept["metadata"].get("resourceVersion") if isinstance(kept, dict) else kept.version)
