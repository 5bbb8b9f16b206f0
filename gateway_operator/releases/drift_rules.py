"""What of a release may differ from its chart: the policy of a row, and rules for fields that others own.

ignoreRules:
- target: {group: apps, kind: Deployment, name: web}     # each part may be absent; absent means any
paths: ["/spec/replicas", "/metadata/annotations/team.example.com~1owner"]     # absent: the whole object
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

TARGET_FIELDS = ("group", "kind", "namespace", "name")


class DriftPolicy(Enum):
    """What to do about an object that differs from its chart."""

    REVERT = "revert"
    WARN = "warn"
    IGNORE = "ignore"


@dataclass(frozen=True)
class IgnoreRule:
    """Fields that a repair leaves alone. None means any; no paths means the whole object."""

    paths: tuple[str, ...] = ()
    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None


def parse_policy(value: Any) -> DriftPolicy:
    """Read a policy. Raises ValueError."""
    try:
        return DriftPolicy(value)
    except ValueError:
        words = ", ".join(p.value for p in DriftPolicy)
        raise ValueError(f"must be one of {words}, not {value!r}") from None


def parse_ignore_rules(value: Any) -> tuple[IgnoreRule, ...]:
    """Read `ignoreRules`. Raises ValueError that names the entry."""
    if not isinstance(value, list):
        raise ValueError("must be a list of {target, paths}")  # noqa: TRY004 - callers know one error
    return tuple(_rule(entry, number) for number, entry in enumerate(value, start=1))


def _rule(entry: Any, number: int) -> IgnoreRule:
    where = f"entry {number}"
    if not isinstance(entry, dict) or not entry or not set(entry) <= {"target", "paths"}:
        raise ValueError(f"{where}: must be a map with target, paths or both")
    target, paths = entry.get("target") or {}, entry.get("paths") or []
    if not isinstance(target, dict) or not set(target) <= set(TARGET_FIELDS):
        raise ValueError(f"{where}: target has {', '.join(TARGET_FIELDS)} only")
    for part, text in target.items():
        if not isinstance(text, str):
            raise ValueError(f"{where}: target.{part} must be text, not {text!r}")  # noqa: TRY004
    if not isinstance(paths, list) or not all(isinstance(p, str) and p.startswith("/") for p in paths):
        raise ValueError(f"{where}: paths must be JSON pointers, as /spec/replicas")
    return IgnoreRule(paths=tuple(paths), **target)
