"""Work that depends on one object is kept until another stands in its place, so that a pass costs what changed."""

from __future__ import annotations

import bisect
import operator
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from gateway_operator.ingress.snapshot import Key

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
S = TypeVar("S", bound=Any)

REMEMBERED = 64  # copies of a mapping that can be compared cheaply with the newest one
MANY = 16  # with more changes than one part in so many, sorting everything is cheaper
_EMPTY: frozenset[Any] = frozenset()


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


class Tracked(dict[K, V]):
    """A mapping that nobody alters, and that knows its place among those taken from the same `Line`."""

    def __init__(self, values: Mapping[K, V], line: Line[K, V], serial: int) -> None:
        super().__init__(values)
        self.line = line
        self.serial = serial


class Line(Generic[K, V]):
    """A mapping that goes on changing. Two copies of it are compared by what happened between them."""

    def __init__(self) -> None:
        self._values: dict[K, V] = {}
        self._steps: deque[set[K]] = deque(maxlen=REMEMBERED)
        self._touched: set[K] = set()
        self._serial = 0
        self._taken: Tracked[K, V] | None = None

    def put(self, key: K, value: V) -> None:
        """Set one value."""
        if self._values.get(key) is not value:
            self._values[key] = value
            self._touched.add(key)

    def drop(self, key: K) -> None:
        """Take one value out, if it is there."""
        if key in self._values:
            del self._values[key]
            self._touched.add(key)

    def get(self, key: K) -> V | None:
        """Return a value as it is now."""
        return self._values.get(key)

    def now(self) -> Tracked[K, V]:
        """Return a copy, the same one until something changes."""
        if self._taken is None or self._touched:
            self._steps.append(self._touched)
            self._touched = set()
            self._serial += 1
            self._taken = Tracked(self._values, self, self._serial)
        return self._taken

    def between(self, first: int, last: int) -> set[K] | None:
        """Return all keys touched after one copy and up to another; None when nobody knows any more."""
        back = self._serial - first
        if not first <= last <= self._serial or back > len(self._steps):
            return None
        steps = [self._steps[len(self._steps) - back + n] for n in range(last - first)]
        return set().union(*steps)


def touched(old: Mapping[K, V], new: Mapping[K, V]) -> Iterable[K] | None:
    """Return the keys that may differ, where both are copies of one line; None where all must be looked at."""
    if not isinstance(old, Tracked) or not isinstance(new, Tracked) or old.line is not new.line:
        return None
    line: Line[K, V] = new.line
    return line.between(old.serial, new.serial)


def changed(old: Mapping[K, Any], new: Mapping[K, Any]) -> set[K]:
    """Return the keys whose value isn't the very same object in both; lists are compared item by item."""
    if old is new:
        return set()
    keys = touched(old, new)
    if keys is not None:
        return {key for key in keys if (key in old) != (key in new) or not _same(old.get(key), new.get(key))}
    found = {key for key, value in new.items() if not _same(old.get(key), value)}
    if len(old) != len(new) or found:
        found |= old.keys() - new.keys()
    return found


def _same(one: object, two: object) -> bool:
    if one is two:
        return True
    if isinstance(one, str) or isinstance(two, str):
        return one == two
    if not isinstance(one, Sequence) or not isinstance(two, Sequence) or len(one) != len(two):
        return False
    return all(a is b or (isinstance(a, str) and a == b) for a, b in zip(one, two, strict=True))


class Members(Generic[T]):
    """The items of a list, each once, by identity, so that the next list is compared at next to no cost."""

    def __init__(self) -> None:
        self._last: Sequence[T] = ()  # keeps them alive, or another could get the number of one that is gone

    def turn(self, items: Sequence[T]) -> tuple[list[T], list[T]]:
        """Take the next list; returns which items went and which came, in their order."""
        last, self._last = self._last, items
        if items is last:
            return [], []
        start = _in_common(last, items)
        end = _in_common(last[:start:-1], items[:start:-1])
        old, new = last[start : len(last) - end], items[start : len(items) - end]
        before, now = set(map(id, old)), set(map(id, new))
        return [item for item in old if id(item) not in now], [item for item in new if id(item) not in before]


def _in_common(one: Sequence[object], two: Sequence[object]) -> int:
    """Return how many items two lists have in common at their start."""
    differs = bytes(map(operator.is_not, one, two)).find(1)
    return differs if differs >= 0 else min(len(one), len(two))


class Gathered(Generic[S]):
    """Items that many contribute to, in order; what somebody adds or takes away costs little."""

    def __init__(self) -> None:
        self._shares: dict[Any, frozenset[S]] = {}
        self._users = Counter[S]()
        self._sorted: list[S] = []
        self._stale: set[S] = set()  # came or went since the list was in order
        self._sum: tuple[S, ...] = ()

    def put(self, owner: object, share: Iterable[S]) -> None:
        """Set what one owner contributes; nothing takes the owner out."""
        items = frozenset(share)
        before = self._shares.get(owner, _EMPTY)
        if items == before:
            return
        if items:
            self._shares[owner] = items
        else:
            del self._shares[owner]
        for item in items - before:
            self._users[item] += 1
            self._stale.add(item)
        for item in before - items:
            self._users[item] -= 1
            self._stale.add(item)

    def all(self) -> tuple[S, ...]:
        """Return everything once, sorted; the same object until something changes."""
        if self._stale:
            self._mend()
            self._stale.clear()
            self._sum = tuple(self._sorted)
        return self._sum

    def _mend(self) -> None:
        users, known = self._users, self._sorted
        for item in [item for item in self._stale if not users[item]]:
            del users[item]
        if len(self._stale) > len(known) // MANY:
            self._sorted = sorted(users)
            return
        for item in self._stale:
            at = bisect.bisect_left(known, item)
            is_there = at < len(known) and known[at] == item
            if item in users and not is_there:
                known.insert(at, item)
            elif item not in users and is_there:
                del known[at]
