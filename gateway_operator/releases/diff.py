"""How an object differs from what it should be, without asking anybody. Pure functions over JSON.

`gaps` names what is wanted and isn't so. It knows no schema: defaults and other spellings of one value may look like
a gap, so that a gap is a suspicion; what an apply makes of the object decides, and `changes` tells it from before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

from gateway_operator.releases.ownership import Path
from gateway_operator.releases.pointers import to_pointer


class _Absent(Enum):
    ABSENT = "absent"


ABSENT = _Absent.ABSENT

_SERVER_OWNED = frozenset({"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"})
# maps that the API server treats as one value (x-kubernetes-map-type: atomic)
_ATOMIC_MAPS = frozenset({"selector", "nodeSelector", "matchLabels"})
_QUANTITIES = frozenset({"requests", "limits", "hard", "capacity"})
# by which lists know their items, the API server's keys before mere names
_ITEM_KEYS = ("containerPort", "port", "mountPath", "devicePath", "ip", "topologyKey", "name")
_QUANTITY = re.compile(r"([+-]?[0-9.]+)(m|k|[KMGTPE]i?|)")
_SCALE = {"": 0, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


@dataclass(frozen=True)
class Change:
    """A place where two versions of an object differ; `ABSENT` is no value."""

    pointer: str
    old: Any = ABSENT
    new: Any = ABSENT


def gaps(wanted: Any, live: Any, at: Path = ()) -> list[Path]:
    """Return where `live` lacks what `wanted` says, or says otherwise; what else `live` has doesn't matter.

    Paths are those of `live`; an item that a list lacks has the index `-`.
    """
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            return [at]
        return [path for key, value in wanted.items() for path in _part_gaps(key, value, live, (*at, key))]
    if isinstance(wanted, list):
        return _list_gaps(wanted, live, at) if isinstance(live, list) else [at]
    return [] if wanted == live and isinstance(wanted, bool) == isinstance(live, bool) else [at]


def covers(wanted: Any, live: Any) -> bool:
    """Tell whether all that `wanted` says is in `live`."""
    return not gaps(wanted, live)


def _part_gaps(key: str, wanted: Any, live: dict[str, Any], at: Path) -> list[Path]:
    if wanted is None or wanted in ({}, []):  # the API server drops such values of typed objects
        return []
    if key not in live:
        return [at]
    if key in _QUANTITIES and isinstance(wanted, dict) and isinstance(live[key], dict):
        pairs = {k: (v, live[key].get(k)) for k, v in wanted.items()}
        return [(*at, k) for k, (a, b) in pairs.items() if a != b and _amount(a) != _amount(b)]
    if (
        key in _ATOMIC_MAPS
        and isinstance(wanted, dict)
        and isinstance(live[key], dict)
        and len(wanted) != len(live[key])
    ):
        return [at]  # a selector with one more key selects less
    return gaps(wanted, live[key], at)


def _list_gaps(wanted: list[Any], live: list[Any], at: Path) -> list[Path]:
    if len(wanted) == len(live) and all(covers(w, item) for w, item in zip(wanted, live, strict=True)):
        return []
    places = match(wanted, live)
    if places is None:
        return [at]
    found: list[Path] = []
    for item, place in zip(wanted, places, strict=True):
        found += [(*at, "-")] if place is None else gaps(item, live[place], (*at, str(place)))
    return found


def match(wanted: list[Any], live: list[Any]) -> list[int | None] | None:
    """Return for each wanted item its index in `live`; None where the items have no keys to know them by."""
    items = [*wanted, *live]
    key = next((k for k in _ITEM_KEYS if wanted and all(isinstance(i, dict) and k in i for i in items)), None)
    if key is None:
        return None
    known = [(item[key], item.get("protocol", "TCP")) for item in live]
    return [_index(known, (item[key], item.get("protocol", "TCP"))) for item in wanted]


def _index(known: list[Any], wanted: Any) -> int | None:
    return known.index(wanted) if wanted in known else None


def _amount(value: Any) -> Any:
    """Read a quantity, so that 0.5 and 500m are one; anything else stays what it is."""
    found = _QUANTITY.fullmatch(str(value))
    if not found or found[1].count(".") > 1 or found[1].strip("+-") in {"", "."}:
        return value
    factor = Decimal(2) ** _BINARY[found[2]] if found[2] in _BINARY else Decimal(10) ** _SCALE.get(found[2], 0)
    return Decimal(found[1]) * factor


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Return the differences of two versions of an object, leaving out the status and what the server keeps itself."""
    found: list[Change] = []
    _compare(_own(before), _own(after), (), found)
    return found


def pointers(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the JSON pointers of `changes`."""
    return [change.pointer for change in changes(before, after)]


def _own(obj: dict[str, Any]) -> dict[str, Any]:
    meta = {k: v for k, v in obj.get("metadata", {}).items() if k not in _SERVER_OWNED}
    return {k: v for k, v in obj.items() if k not in {"status", "metadata"}} | {"metadata": meta}


def _compare(before: Any, after: Any, at: Path, found: list[Change]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            _compare(before.get(key, ABSENT), after.get(key, ABSENT), (*at, key), found)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            _compare(old, new, (*at, str(index)), found)
    elif isinstance(before, list) and isinstance(after, list) and (places := match(after, before)) is not None:
        _compare_items(before, after, places, at, found)
    elif before != after:
        found.append(Change(to_pointer(at), before, after))


def _compare_items(
    before: list[Any], after: list[Any], places: list[int | None], at: Path, found: list[Change]
) -> None:
    for index, old in enumerate(before):
        if index not in places:
            found.append(Change(to_pointer((*at, str(index))), old))
    for index, place in enumerate(places):
        if place is None:
            found.append(Change(to_pointer((*at, str(index))), ABSENT, after[index]))
        else:
            _compare(before[place], after[index], (*at, str(place)), found)
