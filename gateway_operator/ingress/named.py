"""Watches of single objects that Ingresses name: started when somebody names one, ended when nobody does any more.

This is how password lists, authorities and header lists are read without asking for every Secret and ConfigMap there
is. Their number is bounded, since each costs a connection; what lies beyond is as if it didn't exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from gateway_operator.ingress.snapshot import Key, Object
from gateway_operator.kube import Informer
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

MOST = 512


class NamedWatches:
    """Watches of one kind. `make` gives an informer for a namespace and a name."""

    def __init__(self, kind: str, make: Callable[[Key], Informer], most: int = MOST) -> None:
        self._kind = kind
        self._make = make
        self._most = most
        self._running: dict[Key, tuple[Informer, asyncio.Task[None]]] = {}

    def follow(self, wanted: Iterable[Key]) -> bool:
        """Watch exactly these; returns whether any of them is new."""
        keys = sorted(set(wanted))
        if len(keys) > self._most:
            log.error("too many objects are named by annotations", kind=self._kind, named=len(keys), watched=self._most)
        kept = set(keys[: self._most])
        for key in self._running.keys() - kept:
            self._running.pop(key)[1].cancel()
        new = kept - self._running.keys()
        for key in new:
            informer = self._make(key)
            self._running[key] = (informer, asyncio.create_task(informer.run(), name=f"{self._kind} {key}"))
        return bool(new)

    async def arrived(self) -> None:
        """Wait until each is known to be there or not; one that may not be read is not waited for."""
        for informer, _ in list(self._running.values()):
            while not informer.synced.is_set() and informer.error is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def objects(self) -> Mapping[Key, Object]:
        """Return what is there."""
        return {key: obj for informer, _ in self._running.values() for key, obj in informer.store.items()}

    def stop(self) -> None:
        """End all watches."""
        self.follow(())
