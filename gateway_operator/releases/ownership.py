"""Who owns which field of an object, as the API server keeps it in `metadata.managedFields`.

Values tell that something differs; only the owners tell whether a person did it, whether a controller may, and whether
Helm's own write still stands. Pure functions over JSON; a `Tree` is a `fieldsV1` map, a `Path` the steps to a field of
the live object (list items by their index there).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

Tree = dict[str, Any]
Path = tuple[str, ...]

_SERVER_DEFAULTS = {"protocol": "TCP"}  # of keys by which the API server knows list items


def entries(obj: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of managedFields, without those of a status."""
    found = obj["metadata"].get("managedFields") or []
    return [e for e in found if e.get("subresource") != "status"]


def status_writers(obj: dict[str, Any]) -> frozenset[str]:
    """Return the managers that have written this object's status."""
    found = obj["metadata"].get("managedFields") or []
    return frozenset(e.get("manager", "") for e in found if e.get("subresource") == "status")


def tree_of(entry: dict[str, Any]) -> Tree:
    """Return what an entry owns."""
    fields = entry.get("fieldsV1")
    return fields if isinstance(fields, dict) else {}


def step(node: Any, part: str) -> Any:
    """Go one step down; None where there is nothing."""
    if isinstance(node, list):
        return node[int(part)] if part.isdigit() and int(part) < len(node) else None
    return node.get(part) if isinstance(node, dict) else None


def below(trees: Iterable[Tree], node: Any, part: str) -> list[Tree]:
    """Return what each tree says of the part of `node` that `part` names, leaving out those that say nothing."""
    if isinstance(node, list):
        item = step(node, part)
        return [sub for tree in trees for key, sub in tree.items() if names_item(key, item, part)]
    return [tree[f"f:{part}"] for tree in trees if f"f:{part}" in tree]


def names_item(key: str, item: Any, index: str = "") -> bool:
    """Tell whether a key of a tree names this item of a list."""
    kind, _, text = key.partition(":")
    if kind == "i":
        return text == index
    if kind not in {"k", "v"}:
        return False
    try:
        value = json.loads(text)
    except ValueError:
        return False
    if kind == "v":
        return bool(value == item)
    return (
        isinstance(item, dict)
        and isinstance(value, dict)
        and all(item.get(k, _SERVER_DEFAULTS.get(k)) == v for k, v in value.items())
    )


def indivisible(trees: Sequence[Tree]) -> bool:
    """Tell whether a field counts as one value: those who own it own nothing inside.

    A map that somebody made looks the same once all its keys are others': then the others own something inside.
    """
    return bool(trees) and not any(trees)


def owners(obj: dict[str, Any], path: Sequence[str]) -> set[str]:
    """Return the managers that own a field, a part of it, or the indivisible value that it lies in."""
    node: Any = obj
    found = [(e.get("manager", ""), tree_of(e)) for e in entries(obj)]
    for part in path:
        if indivisible([tree for _, tree in found]):
            break
        found = [(manager, sub) for manager, tree in found for sub in below([tree], node, part)]
        node = step(node, part)
    return {manager for manager, _ in found}


def owns_all(wanted: Any, applied: Sequence[Tree], updated: Sequence[Tree]) -> bool:
    """Tell whether every field that `wanted` has is in one of the trees, so that its value is the owner's own.

    `applied` are trees of applies, in which a field without parts is one value; in those of updates it may also be
    what is left of a map or list, and proves nothing of what is in it.
    """
    if isinstance(wanted, dict | list) and indivisible(applied):
        return True
    if isinstance(wanted, dict):
        return all(_owns_part(v, *(_named(trees, f"f:{k}") for trees in (applied, updated))) for k, v in wanted.items())
    if isinstance(wanted, list):
        return all(_owns_part(item, *(_of_item(trees, item) for trees in (applied, updated))) for item in wanted)
    return bool(applied or updated)


def _owns_part(value: Any, applied: list[Tree], updated: list[Tree]) -> bool:
    if not applied and not updated:
        return value is None or value in ({}, [])
    return owns_all(value, applied, updated)


def _named(trees: Sequence[Tree], key: str) -> list[Tree]:
    return [tree[key] for tree in trees if key in tree]


def _of_item(trees: Sequence[Tree], item: Any) -> list[Tree]:
    return [sub for tree in trees for key, sub in tree.items() if names_item(key, item)]


def last_writer(obj: dict[str, Any], *, without: Iterable[str]) -> str | None:
    """Name who wrote last, leaving some managers out: of what was removed nobody is the owner any more."""
    left_out = set(without)
    found = [e for e in entries(obj) if e.get("manager", "") not in left_out]
    newest = max(found, key=lambda e: str(e.get("time", "")), default=None)
    return str(newest["manager"]) if newest else None
