"""JSON patches for what a server-side apply can't do: it never removes what other managers own. Pure.

Ports of a Service are known by their number. Who edits a number has, to the API server, removed one port and added
another; removing the one alone gives no valid Service, nor does applying the other. Such places are put right in one
patch, and the apply that follows settles who owns them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from gateway_operator.releases.diff import match
from gateway_operator.releases.ownership import Path, step
from gateway_operator.releases.pointers import to_pointer

Patch = list[dict[str, Any]]
_ALLOCATED = ("nodePort",)  # given by the server, worth keeping
_TOP = 2  # steps to a field of the spec itself
_ATOMIC_MAPS = frozenset({"selector", "nodeSelector", "matchLabels"})
_SIMPLE = (("data",), ("metadata", "labels"), ("metadata", "annotations"))  # whose keys don't depend on each other


def removal(live: dict[str, Any], added: Sequence[Path]) -> Patch:
    """Return the patch that takes fields away, if the object is still the one that was read."""
    return [_test(live), *({"op": "remove", "path": to_pointer(path)} for path in _backwards(added))]


def belong_together(added: Sequence[Path], gaps: Sequence[Path]) -> bool:
    """Tell whether something was replaced by something else, as a port or a volume's source: mend both at once."""
    holders = {path[:-1] for path in added if len(path) > _TOP} - set(_SIMPLE)
    return any(gap[: len(holder)] == holder for gap in gaps for holder in holders if len(gap) <= len(holder) + 2)


def rewrite(wanted: dict[str, Any], live: dict[str, Any], added: Sequence[Path], now: dict[str, Any]) -> Patch:
    """Return the patch that takes fields away and puts what is wanted in, at once.

    `now` is `live`, or what a write of ours has made of it.
    """
    target = copy.deepcopy(live)
    for path in _backwards(added):
        _remove(target, path)
    target = _overlay(wanted, target, live)
    patch = [_test(now)]
    for path in [(key,) for key in target if key not in {"metadata", "status"}] + [*_SIMPLE[1:]]:
        old, new = _at(now, path), _at(target, path)
        if new is not None and new != old:
            patch.append({"op": "add", "path": to_pointer(path), "value": new})
    return patch


def disown(obj: dict[str, Any], manager: str) -> Patch:
    """Return the patch that takes a field manager's ownership away; empty when it owns nothing."""
    managed = obj["metadata"].get("managedFields") or []
    places = [n for n, entry in enumerate(managed) if entry.get("manager") == manager]
    if not places:
        return []
    return [_test(obj), *({"op": "remove", "path": f"/metadata/managedFields/{n}"} for n in reversed(places))]


def _test(obj: dict[str, Any]) -> dict[str, Any]:
    return {"op": "test", "path": "/metadata/resourceVersion", "value": obj["metadata"]["resourceVersion"]}


def _backwards(paths: Sequence[Path]) -> list[Path]:
    """Order paths so that removing one doesn't move the next."""
    return sorted(
        paths, key=lambda path: [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in path]
    )[::-1]


def _at(obj: Any, path: Path) -> Any:
    for part in path:
        obj = step(obj, part)
    return obj


def _remove(obj: Any, path: Path) -> None:
    holder = _at(obj, path[:-1])
    if isinstance(holder, list):
        del holder[int(path[-1])]
    elif isinstance(holder, dict):
        holder.pop(path[-1], None)


def _overlay(wanted: Any, target: Any, live: Any) -> Any:
    """Put `wanted` over `target`; `live` is what it was before removals, for what the server allocated."""
    if isinstance(wanted, dict) and isinstance(target, dict):
        result = dict(target)
        for key, value in wanted.items():
            if key in _ATOMIC_MAPS or key not in target or value is None:
                before = live.get(key) if isinstance(live, dict) else None
                result[key] = _overlay(value, [], before) if isinstance(value, list) else value
            else:
                result[key] = _overlay(value, target[key], live.get(key) if isinstance(live, dict) else None)
        return {key: value for key, value in result.items() if value is not None}
    if isinstance(wanted, list) and isinstance(target, list):
        return _overlay_list(wanted, target, live if isinstance(live, list) else [])
    return wanted


def _overlay_list(wanted: list[Any], target: list[Any], live: list[Any]) -> list[Any]:
    if not all(isinstance(item, dict) for item in [*wanted, *live]):
        return wanted
    places = match(wanted, target) if target else [None] * len(wanted)
    if places is None:
        return wanted
    before = match(wanted, live)
    items = []
    for n, (item, place) in enumerate(zip(wanted, places, strict=True)):
        if place is None:
            items.append({**_allocated(item, live, n), **item})
        else:
            old = before[n] if before else None
            items.append(_overlay(item, target[place], live[old] if old is not None else None))
    return items + [item for n, item in enumerate(target) if n not in places]


def _allocated(wanted: dict[str, Any], live: list[Any], index: int) -> dict[str, Any]:
    """Keep what the server allocated for the item of the same name, or else of the same place."""
    named = (i for i in live if wanted.get("name") is not None and i.get("name") == wanted["name"])
    same = next(named, live[index] if index < len(live) else {})
    return {k: same[k] for k in _ALLOCATED if k in same}
