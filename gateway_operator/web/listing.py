"""Filters, order and pages of the list of gateways, as KubeSphere's clients ask for them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from gateway_operator.web.entries import Entry
from gateway_operator.web.problems import Problem
from gateway_operator.web.selectors import parse

_PLAIN = ("page", "limit", "sortBy", "ascending", "labelSelector", "watch")
_FILTERS = ("name", "names", "namespace", "uid", "label", "annotation")
Test = Callable[[Entry], bool]


@dataclass(frozen=True)
class Query:
    """What part of the list is wanted; `limit` -1: all."""

    tests: tuple[Test, ...] = ()
    page: int = 1
    limit: int = -1
    by_name: bool = False
    ascending: bool = False

    def matches(self, entry: Entry) -> bool:
        """Tell whether a gateway passes all filters."""
        return all(test(entry) for test in self.tests)

    def pick(self, entries: Iterable[Entry]) -> tuple[list[Entry], int]:
        """Return the page, and how many gateways match in all; equal times and names follow one order for ever."""
        found = [entry for entry in entries if self.matches(entry)] if self.tests else list(entries)
        found.sort(key=attrgetter("by_name" if self.by_name else "by_time"), reverse=not self.ascending)
        if self.limit < 0:
            return found, len(found)
        start = (self.page - 1) * self.limit
        return found[start : start + self.limit], len(found)


def parse_query(params: Mapping[str, str]) -> Query:
    """Read the parameters. Raises Problem 422 for one that is unknown or wrong."""
    unknown = sorted(params.keys() - {*_PLAIN, *_FILTERS})
    if unknown:
        known = ", ".join((*_PLAIN, *_FILTERS))
        raise Problem(422, "UnknownParameter", f"there is no parameter {unknown[0]!r}; there are {known}")
    _flag(params, "watch")
    tests = [_filter(name, params[name]) for name in _FILTERS if params.get(name)]
    if selector := params.get("labelSelector"):
        try:
            term = parse(selector)
        except ValueError as error:
            raise bad_parameter("labelSelector", str(error)) from error
        tests.append(lambda entry: term(entry.labels))
    return Query(
        tests=tuple(tests),
        page=_number(params, "page", 1, least=1),
        limit=_number(params, "limit", -1, least=-1),
        by_name=params.get("sortBy") == "name",
        ascending=_flag(params, "ascending"),
    )


def bad_parameter(name: str, text: str) -> Problem:
    """Make the 422 about one parameter."""
    return Problem(422, "BadParameter", f"{name}: {text}", problems=[{"field": name, "text": text}])


def _filter(name: str, value: str) -> Test:
    tests: dict[str, Test] = {
        "name": lambda entry: value in entry.name,
        "names": lambda entry: entry.name in value.split(","),
        "namespace": lambda entry: entry.claim.project == value,
        "uid": lambda entry: entry.claim.uid == value,
        "label": lambda entry: _has(entry.labels, value),
        "annotation": lambda entry: _has(entry.annotations, value),
    }
    return tests[name]


def _has(found: Mapping[str, Any], wanted: str) -> bool:
    """Match `key` or `key=value`."""
    key, equals, value = wanted.partition("=")
    return key in found and (not equals or found[key] == value)


def _flag(params: Mapping[str, str], name: str) -> bool:
    text = params.get(name, "")
    if text not in {"true", "1", "false", "0", ""}:
        raise bad_parameter(name, "must be true or false")
    return text in {"true", "1"}


def _number(params: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = params.get(name) or str(default)
    try:
        number = int(text[:12])
    except ValueError as error:
        raise bad_parameter(name, "must be a number") from error
    if number < least:
        raise bad_parameter(name, f"must be at least {least}")
    return number
