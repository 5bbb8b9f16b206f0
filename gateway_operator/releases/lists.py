"""Lists of keyed items, where a server-side apply alone can't undo a change. Pure.

Ports of a Service are known by their number. Who edits a number has, to the API server, removed one port and added
another; applying the old one gives both, or an error about names. So such a list is first put back as a whole, and the
apply that follows settles who owns it.
"""

from __future__ import annotations

from typing import Any

from gateway_operator.releases.diff import covers

_KEYS = ("port", "containerPort", "mountPath", "ip", "topologyKey")  # by which the API server knows items
_ALLOCATED = ("nodePort",)  # given by the server, worth keeping


def rekeyed(wanted: Any, live: Any, after: Any | None) -> list[tuple[str, list[Any]]]:
    """Return (JSON pointer, content) of lists whose items were given other keys.

    `after` is what an apply would make of `live`, None when the API server refuses it. A list counts when `live` has
    as many items as it should, lacks one of them, and the apply would make it longer (or is refused).
    """
    found: list[tuple[str, list[Any]]] = []
    _walk(wanted, live, after, "", found)
    return found


def _walk(wanted: Any, live: Any, after: Any | None, at: str, found: list[tuple[str, list[Any]]]) -> None:
    if isinstance(wanted, dict) and isinstance(live, dict):
        for key, value in wanted.items():
            step = after.get(key) if isinstance(after, dict) else None
            _walk(value, live.get(key), step, f"{at}/{key.replace('~', '~0').replace('/', '~1')}", found)
    elif isinstance(wanted, list) and isinstance(live, list) and not covers(wanted, live):
        longer = isinstance(after, list) and len(after) > len(live)
        keyed = all(isinstance(item, dict) and any(k in item for k in _KEYS) for item in [*wanted, *live])
        if keyed and len(live) == len(wanted) and (after is None or longer):
            found.append((at, [_item(item, live, n) for n, item in enumerate(wanted)]))


def _item(wanted: dict[str, Any], live: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """Keep what the server allocated for the item of the same name, or else of the same place."""
    same = next((i for i in live if i.get("name") == wanted.get("name")), live[index])
    kept = {k: same[k] for k in _ALLOCATED if k in same}
    return {**kept, **wanted}


def patch_of(lists: list[tuple[str, list[Any]]], resource_version: str) -> list[dict[str, Any]]:
    """Return the JSON patch that puts lists back, if the object is still the one that was read."""
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version}
    return [test, *({"op": "replace", "path": at, "value": items} for at, items in lists)]


def disown(obj: dict[str, Any], manager: str) -> list[dict[str, Any]]:
    """Return the JSON patch that takes a field manager's ownership away; empty when it owns nothing."""
    entries = obj["metadata"].get("managedFields") or []
    places = [n for n, entry in enumerate(entries) if entry.get("manager") == manager]
    if not places:
        return []
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": obj["metadata"]["resourceVersion"]}
    return [test, *({"op": "remove", "path": f"/metadata/managedFields/{n}"} for n in reversed(places))]
