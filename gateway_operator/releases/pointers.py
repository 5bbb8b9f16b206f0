"""JSON pointers (RFC 6901), and patterns over them that say which fields are left alone.

A pattern is a path whose steps may be `*` (any key or index) or end in `*` (any key that begins so). It names the field
and everything below it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway_operator.releases.ownership import Path


def to_pointer(path: Sequence[str]) -> str:
    """Return the pointer of a path."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def to_path(pointer: str) -> Path:
    """Split a pointer."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def fits(part: str, key: str) -> bool:
    """Tell whether a step of a pattern names `key`."""
    return part == key or (part.endswith("*") and key.startswith(part[:-1]))


def names(pattern: Path, path: Path) -> bool:
    """Tell whether `pattern` names the field at `path` or something that holds it."""
    return len(path) >= len(pattern) and all(map(fits, pattern, path))


def reaches_into(pattern: Path, path: Path) -> bool:
    """Tell whether `pattern` may name something inside the field at `path`."""
    return len(pattern) > len(path) and all(map(fits, pattern, path))
