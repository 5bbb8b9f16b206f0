"""What is asked for, checked: from the text of a URL's parameters to a question that can't be malformed. Pure.

KubeSphere's parameters keep their names and meanings; those for access lines (status, method, host, path, latency,
upstream, cluster, top) are ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from gateway_operator.observe.errors import BadQuery

Operation = Literal["query", "statistics", "histogram", "export"]
Format = Literal["text", "ndjson", "csv"]
Facet = Literal["status", "method", "host", "path", "upstream", "cluster"]
FACETS: tuple[Facet, ...] = ("status", "method", "host", "path", "upstream", "cluster")
OPERATIONS: tuple[Operation, ...] = ("query", "statistics", "histogram", "export")
FORMATS: tuple[Format, ...] = ("text", "ndjson", "csv")
TEXT_LIMIT, WORDS_LIMIT = 1024, 32
SIZE_LIMIT, FROM_LIMIT, TOP_LIMIT, BUCKETS_LIMIT = 1000, 1_000_000, 1000, 10_000
_LATEST = 253_402_300_799  # the last second of the year 9999
_DAY = 86_400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": _DAY, "w": 7 * _DAY}
_INTERVAL = re.compile(r"([1-9][0-9]{0,8})([smhdw])")
_TIME = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_STATUS = re.compile(r"([1-5])xx|([1-9][0-9]{2})(?:-([1-9][0-9]{2}))?", re.IGNORECASE)
_METHOD = re.compile(r"[A-Za-z]{1,32}")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True)
class AccessFilter:
    """What a request must have been like; empty parts ask for nothing.

    `statuses` are ranges (both ends in), `hosts` exact or `*.example.com`, `path` what the path starts with, latencies
    in seconds, `upstream` a part of the address.
    """

    statuses: tuple[tuple[int, int], ...] = ()
    methods: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    path: str = ""
    latency_min: float | None = None
    latency_max: float | None = None
    upstream: str = ""
    clusters: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != _ANY


_ANY = AccessFilter()


@dataclass(frozen=True)
class LogQuery:
    """One question; times in unix seconds, `interval` in seconds, `words` any of which must be in a line."""

    operation: Operation = "query"
    words: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    container_texts: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None
    interval: int = 900
    newest_first: bool = True
    offset: int = 0
    size: int = 10
    access: AccessFilter = field(default=_ANY)
    top: Facet | None = None
    format: Format = "text"
    highlight: bool = False


def read(given: Mapping[str, str]) -> LogQuery:
    """Read parameters by KubeSphere's names. Raises BadQuery that names the parameter."""
    operation = _one_of(given, "operation", OPERATIONS, "query")
    start, end = _time(given, "start_time"), _time(given, "end_time")
    if start is not None and end is not None and start > end:
        raise BadQuery("end_time", "must not lie before start_time")
    top = given.get("top", "")
    return LogQuery(
        operation=cast("Operation", operation),
        words=_words(given, "log_query"),
        pods=_words(given, "pod_query"),
        containers=_words(given, "containers"),
        container_texts=_words(given, "container_query"),
        start=start,
        end=end,
        interval=interval(given.get("interval") or "15m"),
        newest_first=_one_of(given, "sort", ("desc", "asc"), "desc") == "desc",
        offset=_whole(given, "from", 0, 0, FROM_LIMIT),
        size=_whole(given, "size", 10, 0, TOP_LIMIT if top else SIZE_LIMIT),
        access=_access(given),
        top=cast("Facet", _one_of(given, "top", FACETS, "")) if top else None,
        format=cast("Format", _one_of(given, "format", FORMATS, "text")),
        highlight=_one_of(given, "highlight", ("true", "false"), "false") == "true",
    )


def interval(text: str) -> int:
    """Return the seconds of an interval such as 15m, 1h or 1d. Raises BadQuery."""
    match = _INTERVAL.fullmatch(text)
    if not match:
        raise BadQuery("interval", "must be a number and one of s, m, h, d, w, as 15m")
    seconds = int(match[1]) * _UNITS[match[2]]
    if seconds > 366 * _DAY:
        raise BadQuery("interval", "must be at most 366d")
    return seconds


def _access(given: Mapping[str, str]) -> AccessFilter:
    low, high = _number(given, "latency_min"), _number(given, "latency_max")
    if low is not None and high is not None and low > high:
        raise BadQuery("latency_max", "must not be below latency_min")
    methods = _words(given, "method")
    if not all(_METHOD.fullmatch(method) for method in methods):
        raise BadQuery("method", "must be HTTP methods, as GET,POST")
    return AccessFilter(
        statuses=tuple(_status(word) for word in _words(given, "status")),
        methods=tuple(method.upper() for method in methods),
        hosts=tuple(host.lower() for host in _words(given, "host")),
        path=_text(given, "path"),
        latency_min=low,
        latency_max=high,
        upstream=_text(given, "upstream"),
        clusters=_words(given, "cluster"),
    )


def _status(word: str) -> tuple[int, int]:
    match = _STATUS.fullmatch(word)
    if not match:
        raise BadQuery("status", "must be statuses, classes or ranges, as 404,5xx,500-503")
    if match[1]:
        return int(match[1]) * 100, int(match[1]) * 100 + 99
    low, high = int(match[2]), int(match[3] or match[2])
    if low > high:
        raise BadQuery("status", "must have the lower end of a range first")
    return low, high


def _text(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "").strip()
    if len(value) > TEXT_LIMIT:
        raise BadQuery(name, f"must be at most {TEXT_LIMIT} characters")
    if not value.isprintable():
        raise BadQuery(name, "must be printable characters")
    return value


def _words(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Split at commas: any of the words will do."""
    words = tuple(word.strip() for word in _text(given, name).split(",") if word.strip())
    if len(words) > WORDS_LIMIT:
        raise BadQuery(name, f"must be at most {WORDS_LIMIT} words")
    return words


def _one_of(given: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = given.get(name) or default
    if value not in choices:
        raise BadQuery(name, f"must be one of {', '.join(choices)}")
    return value


def _time(given: Mapping[str, str], name: str) -> float | None:
    value = given.get(name) or ""
    if not value:
        return None
    if not _TIME.fullmatch(value) or not math.isfinite(float(value)) or float(value) > _LATEST:
        raise BadQuery(name, "must be a time in unix seconds")
    return float(value)


def _number(given: Mapping[str, str], name: str) -> float | None:
    value = given.get(name) or ""
    if value and not _NUMBER.fullmatch(value):
        raise BadQuery(name, "must be a number of seconds, as 0.5")
    return float(value) if value else None


def _whole(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = given.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise BadQuery(name, f"must be a whole number from {least} to {most}")
    return int(value)
