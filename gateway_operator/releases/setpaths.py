r"""`--set` paths and values as Helm reads them, so that `overrideValues` of a Helm operator mean the same here.

a.b[0].c\.d  ->  ("a", "b", 0, "c.d")        true, 3, null, {x,y}  ->  True, 3, None, ["x", "y"]
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from typing import Any

Path = tuple[str | int, ...]

MAX_INDEX = 65536  # as in Helm: an index beyond is a typing error, not a wish
_ENV = re.compile(r"\$(?:\$|(?P<plain>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\})")
_INTEGER = re.compile(r"-?[1-9]\d*|0")


def parse_path(text: str) -> Path:
    """Split a `--set` path. Raises ValueError with what is wrong."""
    parts: list[str | int] = []
    name = ""
    i = 0
    while i < len(text):
        char = text[i]
        if char == "\\" and i + 1 < len(text):
            name += text[i + 1]
            i += 2
        elif char == ".":
            _close_name(parts, name, text, after_index=i > 0 and text[i - 1] == "]")
            name = ""
            i += 1
        elif char == "[":
            if name:
                parts.append(name)
                name = ""
            end = text.find("]", i)
            parts.append(_index(text[i + 1 : end] if end > 0 else "", text))
            i = end + 1
            if i < len(text) and text[i] not in ".[":
                raise ValueError(f"path {text!r}: after ] comes . or [")
        else:
            name += char
            i += 1
    _close_name(parts, name, text, after_index=text.endswith("]"))
    if not parts or isinstance(parts[0], int):
        raise ValueError(f"path {text!r}: must start with a key, as in a.b[0]")
    return tuple(parts)


def _close_name(parts: list[str | int], name: str, text: str, *, after_index: bool) -> None:
    if name:
        parts.append(name)
    elif not after_index:
        raise ValueError(f"path {text!r}: a key between two dots is empty")


def _index(digits: str, text: str) -> int:
    if not digits.isdigit() or int(digits) > MAX_INDEX:
        raise ValueError(f"path {text!r}: an index is a number from 0 to {MAX_INDEX} in brackets, as in a[0]")
    return int(digits)


def expand_env(text: str, env: Mapping[str, str] = os.environ) -> str:
    """Replace `$VAR`, `${VAR}`, `${VAR:-default}` and `$$`. Raises ValueError for a variable that isn't set."""

    def value(match: re.Match[str]) -> str:
        name = match["plain"] or match["braced"]
        if name is None:
            return "$"
        if match["default"] is not None:
            return env.get(name) or match["default"]
        if name not in env:
            raise ValueError(f"the environment variable {name} is not set: set it, or write ${{{name}:-default}}")
        return env[name]

    return _ENV.sub(value, text)


def typed(text: str) -> Any:
    """Return the value that `--set key=TEXT` would give."""
    if len(text) >= 2 and text[0] == text[-1] == '"':  # noqa: PLR2004
        return text[1:-1]
    if text.startswith("{") and text.endswith("}"):
        inner = text[1:-1]
        return [_scalar(item) for item in re.split(r"(?<!\\),", inner)] if inner else []
    return _scalar(text)


def _scalar(text: str) -> Any:
    match text.lower():
        case "true":
            return True
        case "false":
            return False
        case "null":
            return None
    if _INTEGER.fullmatch(text):
        return int(text)
    return re.sub(r"\\(.)", r"\1", text)


def set_path(values: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Return `values` with `value` at `path`; what is in the way gives way, as with Helm."""
    result: dict[str, Any] = _set(copy.deepcopy(values), path, value)
    return result


def _set(node: Any, path: Path, value: Any) -> Any:
    if not path:
        return copy.deepcopy(value)
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        items = node if isinstance(node, list) else []
        items.extend([None] * (head + 1 - len(items)))
        items[head] = _set(items[head], rest, value)
        return items
    mapping = node if isinstance(node, dict) else {}
    mapping[head] = _set(mapping.get(head), rest, value)
    return mapping


MISSING = object()


def get_path(values: Any, path: Path) -> Any:
    """Return the value at `path`, or MISSING."""
    node = values
    for part in path:
        if isinstance(part, int):
            if not isinstance(node, list) or part >= len(node):
                return MISSING
        elif not isinstance(node, dict) or part not in node:
            return MISSING
        node = node[part]
    return node
