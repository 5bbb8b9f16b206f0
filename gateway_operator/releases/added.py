"""Fields that people added to an object: what they own, and its chart doesn't have. Pure.

Only ownership can tell these from the API server's defaults, from what an autoscaler or an injector wrote, and from
what Helm applied: all of them are in the live object and not in the chart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway_operator.releases.ownership import Path, Tree, below, indivisible, names_item
from gateway_operator.releases.pointers import names, reaches_into

_SERVER_OWNED = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "generateName")


@dataclass(frozen=True)
class Additions:
    """Paths to remove, and paths of indivisible values that got longer, which an apply puts back."""

    removable: tuple[Path, ...] = ()
    grown: tuple[Path, ...] = ()


def additions(
    wanted: dict[str, Any],
    live: dict[str, Any],
    *,
    people: Sequence[Tree],
    others: Sequence[Tree],
    spared: Sequence[Path],
) -> Additions:
    """Find what `people` own and `wanted` doesn't have, but for what is `spared` or `others` own as well."""
    walk = _Walk(tuple(spared))
    walk.present(wanted, live, people, others, ())
    return Additions(tuple(walk.removable), tuple(walk.grown))


class _Walk:
    """Goes down the live object where people own something."""

    def __init__(self, spared: tuple[Path, ...]) -> None:
        self._spared = spared
        self.removable: list[Path] = []
        self.grown: list[Path] = []

    def _parts(
        self, live: Any, people: Sequence[Tree], others: Sequence[Tree], at: Path
    ) -> Iterator[tuple[str, Any, list[Tree], list[Tree], Path]]:
        pairs = [(str(n), item) for n, item in enumerate(live)] if isinstance(live, list) else [*live.items()]
        for part, value in pairs:
            here = (*at, part)
            mine = below(people, live, part)
            server = at == ("metadata",) and part in _SERVER_OWNED
            if mine and not server and not any(names(p, here) for p in self._spared):
                yield part, value, mine, below(others, live, part), here

    def present(self, wanted: Any, live: Any, people: Sequence[Tree], others: Sequence[Tree], at: Path) -> None:
        """Look into a field that the chart has, too."""
        if not isinstance(live, dict | list) or type(wanted) is not type(live):
            return
        for part, value, mine, theirs, here in self._parts(live, people, others, at):
            twin = _twin(wanted, part, value, people)
            if twin is None:
                self.absent(value, mine, theirs, here)
            elif indivisible([*mine, *theirs]):
                if isinstance(value, dict | list) and isinstance(twin, dict | list) and len(value) != len(twin):
                    self.grown.append(here)
            else:
                self.present(twin, value, mine, theirs, here)

    def absent(self, live: Any, people: Sequence[Tree], others: Sequence[Tree], at: Path) -> None:
        """Take a field that the chart doesn't have, as a whole or, where others have a part in it, in pieces."""
        whole = not others and not any(reaches_into(p, at) for p in self._spared)
        if whole:
            self.removable.append(at)
        elif isinstance(live, dict | list):
            for _, value, mine, theirs, here in self._parts(live, people, others, at):
                self.absent(value, mine, theirs, here)


def _twin(wanted: Any, part: str, value: Any, people: Sequence[Tree]) -> Any | None:
    """Return what the chart has for this part of the live object."""
    if isinstance(wanted, dict):
        return wanted.get(part)
    keys = [key for tree in people for key in tree if names_item(key, value, part)]
    if any(key.startswith("k:") for key in keys):
        return next((w for w in wanted for key in keys if names_item(key, w)), None)
    return value if value in wanted else None
