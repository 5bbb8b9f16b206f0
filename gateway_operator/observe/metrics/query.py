"""What may be asked of metrics: every parameter read, checked and bounded before anything is built of it.

Names are those of KubeSphere's API. Regular expressions are compiled by Rust's engine (pydantic brings it), which knows
no look-around and no back references, as RE2 doesn't, and takes time linear in the text: no filter can stall us.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import StringConstraints, TypeAdapter, ValidationError

from gateway_operator.observe.errors import BadQuery

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_DURATION = re.compile(r"(?:[0-9]{1,9}[smhdwy]){1,6}")
_PART = re.compile(r"([0-9]+)([smhdwy])")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
LONGEST = 400 * UNITS["d"]
MOST_POINTS = 11_000  # Prometheus' own limit
LONGEST_FILTER = 512
DEFAULT_DURATION = 300
DEFAULT_STEP = 600
DEFAULT_LIMIT, MOST_ROWS = 5, 1000
Order = Literal["asc", "desc"]


@dataclass(frozen=True)
class Times:
    """When: `at` for one moment, else from `start` to `end` each `step`; unix seconds."""

    at: float | None = None
    start: float = 0.0
    end: float = 0.0
    step: int = 0

    @property
    def is_range(self) -> bool:
        """Tell whether values over time are asked for."""
        return self.at is None


@dataclass(frozen=True)
class Ranking:
    """How rows are sorted and which page of them is wanted; only for one moment."""

    metric: str
    order: Order = "desc"
    page: int = 1
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True)
class MetricsQuery:
    """One question, checked."""

    times: Times
    duration: int | None = None
    metrics: str = ""  # an unanchored regular expression over names; empty: KubeSphere's fifteen
    resources: str = ""  # an anchored regular expression over Ingresses; empty: all
    ingress: str = ""  # one Ingress, by its exact name
    pod: str = ""
    job: str = ""
    ranking: Ranking | None = None


@dataclass(frozen=True)
class Asked:
    """Parameters as they came."""

    time: str = ""
    start: str = ""
    end: str = ""
    step: str = ""
    duration: str = ""
    metrics_filter: str = ""
    resources_filter: str = ""
    pod: str = ""
    job: str = ""
    sort_metric: str = ""
    sort_type: str = ""
    page: str = ""
    limit: str = ""


def read(asked: Asked, now: float, *, ingress: str = "") -> MetricsQuery:
    """Check all parameters, and an Ingress's name; raises BadQuery that names the one that is wrong."""
    times = _times(asked, now)
    for field in ("metrics_filter", "resources_filter"):
        expression(field, getattr(asked, field))
    return MetricsQuery(
        times=times,
        duration=seconds("duration", asked.duration) if asked.duration else None,
        metrics=asked.metrics_filter,
        resources=asked.resources_filter,
        ingress=_name("ingress", ingress),
        pod=_name("pod", asked.pod),
        job=_name("job", asked.job),
        ranking=_ranking(asked, times),
    )


def seconds(field: str, text: str) -> int:
    """Read a duration: `90`, `90s`, `10m`, `1h30m`, `1d`, `1w`; raises BadQuery."""
    if text.isascii() and text.isdigit() and len(text) <= len(str(LONGEST)):
        found = int(text)
    elif _DURATION.fullmatch(text):
        found = sum(int(number) * UNITS[unit] for number, unit in _PART.findall(text))
    else:
        raise BadQuery(field, "must be a duration, as 90s, 10m, 1h30m, 1d or 1w")
    if not 1 <= found <= LONGEST:
        raise BadQuery(field, f"must be between 1s and {LONGEST // UNITS['d']}d")
    return found


def expression(field: str, pattern: str) -> Callable[[str], bool]:
    """Compile a regular expression that RE2 takes too, and return whether it is found in a text; raises BadQuery."""
    if len(pattern) > LONGEST_FILTER:
        raise BadQuery(field, f"must have at most {LONGEST_FILTER} characters")
    adapter = _compiled(pattern)
    if adapter is None:
        raise BadQuery(field, "must be a regular expression of RE2: without look-around and back references")

    def found(text: str) -> bool:
        try:
            adapter.validate_python(text)
        except ValidationError:
            return False
        return True

    return found


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> TypeAdapter[str] | None:
    if any(ord(char) < ord(" ") for char in pattern):
        return None
    try:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
    except Exception as error:
        if type(error).__name__ != "SchemaError":  # pydantic doesn't name it, its core does
            raise
        return None


def _times(asked: Asked, now: float) -> Times:
    if not (asked.start or asked.end):
        if asked.step:
            raise BadQuery("step", "needs start and end")
        return Times(at=_moment("time", asked.time) if asked.time else now)
    if asked.time:
        raise BadQuery("time", "can't stand beside start and end")
    if not asked.start:
        raise BadQuery("start", "is needed beside end")
    start, end = _moment("start", asked.start), _moment("end", asked.end) if asked.end else now
    step = seconds("step", asked.step) if asked.step else DEFAULT_STEP
    if end < start:
        raise BadQuery("end", "must not be before start")
    if (end - start) / step > MOST_POINTS - 1:
        raise BadQuery("step", f"gives more than {MOST_POINTS} points between start and end: choose a longer one")
    return Times(start=start, end=end, step=step)


def _moment(field: str, text: str) -> float:
    try:
        found = float(text) if text.isascii() else math.nan
    except ValueError:
        found = math.nan
    if not 0 <= found < 1e11:  # noqa: PLR2004 - milliseconds would be above
        raise BadQuery(field, "must be a time in seconds since 1970")
    return found


def _name(field: str, text: str) -> str:
    if text and not _NAME.fullmatch(text):
        raise BadQuery(field, "must be a name as Kubernetes has them: lower case, digits, '-' and '.'")
    return text


def _ranking(asked: Asked, times: Times) -> Ranking | None:
    if asked.sort_type not in {"", "asc", "desc"}:
        raise BadQuery("sort_type", "must be asc or desc")
    page = _number("page", asked.page, 1, 1_000_000)
    limit = _number("limit", asked.limit, DEFAULT_LIMIT, MOST_ROWS)
    if times.is_range or not asked.sort_metric:
        return None
    return Ranking(asked.sort_metric, "asc" if asked.sort_type == "asc" else "desc", page, limit)


def _number(field: str, text: str, default: int, most: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise BadQuery(field, f"must be a number from 1 to {most}")
    return int(text)
