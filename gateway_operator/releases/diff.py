"""How an object differs from what it should be, and who made it so. Pure functions over JSON.

`covers` is a cheap test that most suspicions end with. Where it fails, the API server is asked what an apply would
change (defaults and quantities have many spellings), and `pointers` names the differences between before and after.
"""

from __future__ import annotations

import json
from typing import Any

_SERVER_OWNED = frozenset({"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"})
_MAX_POINTERS = 50


# maps that the API server treats as one value (x-kubernetes-map-type: atomic)
_ATOMIC_MAPS = frozenset({"selector", "nodeSelector", "matchLabels"})


def covers(wanted: Any, live: Any) -> bool:
    """Return True when all that `wanted` says is in `live`; what else `live` has doesn't matter."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            (key in live and covers(value, live[key]) and not _grown(key, value, live[key])) or _is_nothing(value)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        if not isinstance(live, list):
            return False
        if len(wanted) != len(live):
            return _covers_keyed(wanted, live)
        return all(covers(w, item) for w, item in zip(wanted, live, strict=True)) or _covers_keyed(wanted, live)
    return bool(wanted == live) and (isinstance(wanted, bool) == isinstance(live, bool))


def _grown(key: str, wanted: Any, live: Any) -> bool:
    """Tell whether a map that counts as one value has more keys than it should: a selector then selects less."""
    return key in _ATOMIC_MAPS and isinstance(wanted, dict) and len(wanted) != len(live)


def _is_nothing(value: Any) -> bool:
    """Tell whether the API server drops such a value (null, and empty lists and maps of typed objects)."""
    return value is None or value in ({}, [])


def _covers_keyed(wanted: list[Any], live: list[Any]) -> bool:
    """Compare lists of named things by name: others may have added theirs."""
    if not wanted or not all(isinstance(w, dict) and "name" in w for w in wanted):
        return False
    by_name = {item.get("name"): item for item in live if isinstance(item, dict)}
    return all(w["name"] in by_name and covers(w, by_name[w["name"]]) for w in wanted)


def pointers(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return JSON pointers to where two versions of an object differ, leaving out what the server keeps itself."""
    found: list[str] = []
    _walk(_own(before), _own(after), "", found)
    return found[:_MAX_POINTERS]


def _own(obj: dict[str, Any]) -> dict[str, Any]:
    meta = {k: v for k, v in obj.get("metadata", {}).items() if k not in _SERVER_OWNED}
    return {k: v for k, v in obj.items() if k not in {"status", "metadata"}} | {"metadata": meta}


def _walk(before: Any, after: Any, at: str, found: list[str]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if key not in before or key not in after:
                found.append(f"{at}/{_escape(key)}")
            else:
                _walk(before[key], after[key], f"{at}/{_escape(key)}", found)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            _walk(old, new, f"{at}/{index}", found)
    elif before != after:
        found.append(at)


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def parts_of(pointer: str) -> list[str]:
    """Split a JSON pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def culprits(obj: dict[str, Any], changed: list[str], *, ours: frozenset[str]) -> list[str]:
    """Name the field managers that own what changed, without `ours`.

    A removed field has no owner any more; then it is the manager that wrote last, if that wasn't us.
    """
    entries = [
        e
        for e in obj.get("metadata", {}).get("managedFields") or []
        if e.get("manager") not in ours and e.get("subresource") != "status"
    ]
    owners = {
        e["manager"] for e in entries for pointer in changed if _owns(e.get("fieldsV1") or {}, obj, parts_of(pointer))
    }
    if not owners and entries:
        owners = {max(entries, key=lambda e: str(e.get("time", "")))["manager"]}
    return sorted(owners)


def _owns(fields: dict[str, Any], node: Any, path: list[str]) -> bool:
    """Walk a fieldsV1 tree along `path`; owning a part of what `path` names counts, owning what holds it does too."""
    for part in path:
        if not fields or set(fields) == {"."}:
            return True  # an atomic value above
        if isinstance(node, list):
            index = int(part) if part.isdigit() else -1
            node = node[index] if 0 <= index < len(node) else None
            step = next((v for k, v in fields.items() if _names_item(k, node, index)), None)
        else:
            node = node.get(part) if isinstance(node, dict) else None
            step = fields.get(f"f:{part}")
        if step is None:
            return False
        fields = step
    return True


def _names_item(key: str, item: Any, index: int) -> bool:
    kind, _, text = key.partition(":")
    if kind == "i":
        return text == str(index)
    try:
        value = json.loads(text) if kind in {"k", "v"} else None
    except ValueError:
        return False
    if kind == "k":
        return isinstance(item, dict) and isinstance(value, dict) and all(item.get(k) == v for k, v in value.items())
    return kind == "v" and bool(value == item)


def replicas_are_scaled(obj: dict[str, Any]) -> bool:
    """Tell whether an autoscaler owns `spec.replicas`: the controller manager does, through the scale subresource."""
    return any(
        e.get("subresource") == "scale"
        and e.get("manager") == "kube-controller-manager"
        and "f:replicas" in ((e.get("fieldsV1") or {}).get("f:spec") or {})
        for e in obj.get("metadata", {}).get("managedFields") or []
    )
