"""Says what drifted in words: the object, the JSON pointers with old and new values, and who did it. Pure.

Values may be passwords: those of Secrets, and of keys that look like one, are never told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway_operator.releases.diff import ABSENT, Change
from gateway_operator.releases.objects import ObjectId
from gateway_operator.releases.ownership import step
from gateway_operator.releases.pointers import to_path

HIDDEN = "***"
_SHOWN = 3
_VALUE_LIMIT = 60
_POINTER_LIMIT = 160
_SECRET = re.compile(r"passw|secret|token|credential|private|api[-_.]?key|access[-_.]?key|bearer", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/@\s\"]+(?=@)")  # user and password of a URL
_WHOLE_OBJECT = "kubectl.kubernetes.io/last-applied-configuration"  # an annotation that repeats all of it
_NOT_SECRET = frozenset({"secretName", "secretKeyRef", "secretRef", "secrets", "imagePullSecrets"})  # names of Secrets


@dataclass(frozen=True)
class Drift:
    """One object that differed from its chart, and what became of it."""

    object: ObjectId
    what: str  # "restored", "reverted", "missing" or "differs"
    changes: tuple[Change, ...] = ()  # with values that may be told
    managers: tuple[str, ...] = ()

    @property
    def repaired(self) -> bool:
        """True when the object was written."""
        return self.what in {"restored", "reverted"}

    def __str__(self) -> str:
        if self.what == "restored":
            return f"{self.object} was deleted and is made again"
        if self.what == "missing":
            return f"{self.object} is missing"
        shown = ", ".join(map(_tell, self.changes[:_SHOWN]))
        more = f" and {len(self.changes) - _SHOWN} more" if len(self.changes) > _SHOWN else ""
        by = f" (changed by {', '.join(self.managers)})" if self.managers else ""
        verb = "is put back" if self.what == "reverted" else "differs from its chart"
        return f"{self.object} {verb}: {shown}{more}{by}"


def tellable(before: dict[str, Any], after: dict[str, Any], changes: Sequence[Change]) -> tuple[Change, ...]:
    """Return the changes of an object in a form that may be shown to anybody."""
    return tuple(_tellable(after if change.old is ABSENT else before, change) for change in changes)


def _tellable(obj: dict[str, Any], change: Change) -> Change:
    path = to_path(change.pointer)
    hidden = (obj.get("kind") == "Secret" and path[0] in {"data", "stringData"}) or _is_secret(obj, path)
    return Change(change.pointer, *(_value(value, hidden=hidden) for value in (change.old, change.new)))


def _is_secret(obj: Any, path: Sequence[str]) -> bool:
    """Tell whether a name on the way down, or that of an item as in `env`, looks secret."""
    for part in path:
        obj = step(obj, part)
        named = isinstance(obj, dict) and part != "metadata" and _looks_secret(str(obj.get("name", "")))
        if named or _looks_secret(part):
            return True
    return False


def _looks_secret(name: str) -> bool:
    return name == _WHOLE_OBJECT or (name not in _NOT_SECRET and bool(_SECRET.search(name)))


def _value(value: Any, *, hidden: bool) -> Any:
    if value is ABSENT or isinstance(value, bool):
        return value
    if hidden:
        return HIDDEN
    if isinstance(value, dict):
        named = _looks_secret(str(value.get("name", "")))
        return {k: _value(v, hidden=_looks_secret(k) or (named and k != "name")) for k, v in value.items()}
    if isinstance(value, list):
        return [_value(v, hidden=isinstance(v, str) and "=" in v and _looks_secret(v)) for v in value]
    return value


def _tell(change: Change) -> str:
    pointer = change.pointer if len(change.pointer) <= _POINTER_LIMIT else f"{change.pointer[:_POINTER_LIMIT]}…"
    return f"{pointer} {_cut(change.old)} -> {_cut(change.new)}"


def _cut(value: Any) -> str:
    if value is ABSENT:
        return "(none)"
    text = HIDDEN if value == HIDDEN else _LOGIN.sub(HIDDEN, json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _VALUE_LIMIT else f"{text[: _VALUE_LIMIT - 1]}…"
