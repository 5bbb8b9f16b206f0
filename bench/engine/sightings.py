"""Follows one kind by a watch, to say when an object first looked as awaited: polling would cost what is measured."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from gateway_operator.kube import Api, Informer, Resource

Looks = Callable[[dict[str, Any] | None], bool]  # the object, None when it is absent


class Sightings:
    """Waits for states of objects of one kind; `run()` has to run beside."""

    def __init__(self, api: Api, resource: Resource, namespace: str | None) -> None:
        self._waiting: dict[str, list[tuple[Looks, asyncio.Future[float]]]] = defaultdict(list)
        self._informer = Informer(api, resource, namespace=namespace, on_event=self._seen)
        self.run = self._informer.run
        self.synced = self._informer.synced

    def _seen(self, type_: str, obj: dict[str, Any], _previous: dict[str, Any] | None) -> None:
        state = None if type_ == "DELETED" else obj
        for looks, future in self._waiting.get(obj["metadata"]["name"], ()):
            if not future.done() and looks(state):
                future.set_result(time.monotonic())

    async def first(self, name: str, looks: Looks, *, within: float) -> float:
        """Return the clock when an event first showed `looks`; infinity when none did."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        entry = (looks, future)
        self._waiting[name].append(entry)
        try:
            async with asyncio.timeout(within):
                return await future
        except TimeoutError:
            return float("inf")
        finally:
            self._waiting[name].remove(entry)
