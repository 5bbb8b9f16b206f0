"""What the doctor says: one finding for each thing that is wrong, with what it means and what to do."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Object = dict[str, Any]


class Severity(enum.StrEnum):
    """How bad it is: a problem needs somebody, a warning may become one, info explains."""

    PROBLEM = "problem"
    WARNING = "warning"
    INFO = "info"


_ORDER = list(Severity)


@dataclass(frozen=True)
class Finding:
    """One thing: which object, what is the matter, what to do."""

    severity: Severity
    area: str
    object: str
    meaning: str
    remedy: str = ""


def problem(area: str, obj: str, meaning: str, remedy: str = "") -> Finding:
    """Return a finding that needs somebody."""
    return Finding(Severity.PROBLEM, area, obj, meaning, remedy)


def warning(area: str, obj: str, meaning: str, remedy: str = "") -> Finding:
    """Return a finding that may become a problem."""
    return Finding(Severity.WARNING, area, obj, meaning, remedy)


def info(area: str, obj: str, meaning: str, remedy: str = "") -> Finding:
    """Return a finding that explains."""
    return Finding(Severity.INFO, area, obj, meaning, remedy)


def sorted_findings(found: Iterable[Finding]) -> list[Finding]:
    """Return the worst first, else in the order in which they were found."""
    return sorted(found, key=lambda f: _ORDER.index(f.severity))


def title(obj: Object, kind: str = "") -> str:
    """Name an object: kind, namespace and name."""
    meta = obj["metadata"]
    where = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{kind or obj.get('kind', '')} {where}{meta['name']}"


def age(stamp: Any, now: float) -> float:
    """Return how many seconds ago a time was; 0 when it can't be read."""
    try:
        return now - datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return 0.0


def lasted(seconds: float) -> str:
    """Say a span of time as people do."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
