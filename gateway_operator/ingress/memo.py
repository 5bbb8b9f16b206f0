"""Work that depends on one object is kept until another stands in its place, so that a pass costs what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from gateway_operator.ingress.snapshot import Key

T = TypeVar("T")
K = TypeVar("K")
S = TypeVar("S", bound=Any)


class Memo(Generic[T]):
    """A function of an object, remembered by the object's key for as long as the very same object is asked about."""

    def __init__(self, compute: Callable[[Mapping[str, Any]], T]) -> None:
        self._compute = compute
        self._known: dict[Key, tuple[Mapping[str, Any], T]] = {}

    def __call__(self, key: Key, obj: Mapping[str, Any]) -> T:
        """Return the result for this object."""
        known = self._known.get(key)
        if known is None or known[0] is not obj:
            known = self._known[key] = (obj, self._compute(obj))
        return known[1]

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop what was learned of objects that are gone or new."""
        for key in keys:
            self._known.pop(key, None)


def changed(old: Mapping[K, Any], new: Mapping[K, Any]) -> set[K]:
    """Return the keys whose value isn't the very same object in both; lists are compared item by item."""
    if old is new:
        return set()
    found = {key for key, value in new.items() if old.get(key) is not value and not _same_items(old.get(key), value)}
    if len(old) != len(new) or found:
        found |= old.keys() - new.keys()
    return found


def _same_items(one: object, two: object) -> bool:
    if isinstance(one, str) or isinstance(two, str):
        return one == two
    if not isinstance(one, Sequence) or not isinstance(two, Sequence) or len(one) != len(two):
        return False
    return all(a is b or (isinstance(a, str) and a == b) for a, b in zip(one, two, strict=True))


class Gathered(Generic[S]):
    """Items that many contribute to, summed up in order only when somebody's share changed."""

    def __init__(self) -> None:
        self._shares: dict[Any, frozenset[S]] = {}
        self._sum: tuple[S, ...] | None = ()

    def put(self, owner: object, share: Iterable[S]) -> None:
        """Set what one owner contributes; nothing takes the owner out."""
        items = frozenset(share)
        if items == self._shares.get(owner, frozenset()):
            return
        self._sum = None
        if items:
            self._shares[owner] = items
        else:
            del self._shares[owner]

    def all(self) -> tuple[S, ...]:
        """Return everything once, sorted."""
        if self._sum is None:
            self._sum = tuple(sorted(set().union(*self._shares.values())))
        return self._sum
