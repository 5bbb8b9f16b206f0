"""Which Ingresses name a host and path, so that a review looks at those few and not at all of a cluster."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from gateway_operator.ingress import grammar
from gateway_operator.kube.informer import Key, key_of

Place = tuple[str, str]
Object = Mapping[str, Any]


class PathIndex:
    """Ingresses by (host, path) as written, kept up to date by an informer's events.

    It is coarse on purpose, since it must be cheap: a place's Ingresses may differ in path type, and may be of another
    class. Whoever asks looks closer at the few that it returns. Reviews ask from threads of their own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[Key, Object] = {}
        self._places: dict[Place, set[Key]] = {}

    def take(self, type_: str, obj: dict[str, Any], previous: Object | None = None) -> None:
        """Follow one event; its form is that of `Informer.on_event`."""
        del previous
        key = key_of(obj)
        with self._lock:
            self._forget(key)
            if type_ == "DELETED":
                return
            self._objects[key] = obj
            for place in places(obj):
                self._places.setdefault(place, set()).add(key)

    def _forget(self, key: Key) -> None:
        known = self._objects.pop(key, None)
        for place in set(places(known)) if known is not None else ():
            holders = self._places[place]
            holders.discard(key)
            if not holders:
                del self._places[place]

    def rivals(self, obj: Object) -> list[Object]:
        """Return the other Ingresses that name a place which this one names, the oldest first."""
        wanted = set(places(obj))
        with self._lock:
            keys = {key for place in wanted for key in self._places.get(place, ())}
            keys.discard(key_of(dict(obj)))
            found = [self._objects[key] for key in keys]
        return sorted(found, key=_age)


def places(obj: Object) -> Iterator[Place]:
    """Yield host and path of every path of an Ingress, in the form in which the controller compares them."""
    for rule in (obj.get("spec") or {}).get("rules") or ():
        for item in (rule.get("http") or {}).get("paths") or ():
            path = item.get("path") or "/"
            with contextlib.suppress(grammar.FieldError):  # a regular expression perhaps: it stands for itself
                path = grammar.path(path, strict=False)
            yield rule.get("host") or "", path.rstrip("/") or "/"


def _age(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("creationTimestamp") or "", obj["metadata"].get("uid", "")
