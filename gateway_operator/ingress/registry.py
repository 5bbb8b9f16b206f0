"""Things by id that several hosts need: kept while anybody needs them, listed in the order of their ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from gateway_operator.ingress.ordered import Ordered

V = TypeVar("V")


class Registry(Generic[V]):
    """Values by id, each with the number of its users."""

    def __init__(self) -> None:
        self._values: dict[str, V] = {}
        self._users: dict[str, int] = {}
        self._order = Ordered[str, V]()

    def swap(self, old: Mapping[str, V], new: Mapping[str, V]) -> None:
        """Let one user need `new` instead of `old`."""
        if old == new:
            return
        for key, value in new.items():
            self._users[key] = self._users.get(key, 0) + 1
            if self._values.get(key) is not value:
                self.replace(key, value)
        for key in old:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._values[key]
                self._order.drop(key)

    def replace(self, key: str, value: V) -> None:
        """Change one value that is needed."""
        self._values[key] = value
        self._order.put(key, value)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> V:
        return self._values[key]

    def all(self) -> tuple[V, ...]:
        """Return all values, sorted by id."""
        return self._order.all()


class Merged(Mapping[str, Any]):
    """Several mappings read as one, put together when somebody first asks; few passes do."""

    def __init__(self, parts: Iterable[Mapping[str, Any]]) -> None:
        self._parts = parts
        self._whole: dict[str, Any] | None = None

    def _get(self) -> dict[str, Any]:
        if self._whole is None:
            whole = {key: value for part in self._parts for key, value in part.items()}
            self._whole = {key: whole[key] for key in sorted(whole)}
        return self._whole

    def __getitem__(self, key: str) -> Any:
        return self._get()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._get())

    def __len__(self) -> int:
        return len(self._get())
