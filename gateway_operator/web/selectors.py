"""Label selectors as the API server reads them, for lists that come from our own cache. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Labels = Mapping[str, str]
Term = Callable[[Labels], bool]
_SPLIT = re.compile(r",(?![^(]*\))")
_KEY = r"(?P<key>[A-Za-z0-9][-A-Za-z0-9_./]*)"
_SET = re.compile(rf"\s*{_KEY}\s+(?P<word>in|notin)\s*\((?P<values>[-A-Za-z0-9_.,\s]*)\)\s*")
_EQUAL = re.compile(rf"\s*{_KEY}\s*(?P<word>==|=|!=)\s*(?P<value>[-A-Za-z0-9_.]*)\s*")
_THERE = re.compile(rf"\s*(?P<not>!?)\s*{_KEY}\s*")


def parse(text: str) -> Term:
    """Return the test that a selector such as `app=x,tier in (a,b),!old` stands for. Raises ValueError."""
    terms = [_term(part) for part in _SPLIT.split(text)] if text.strip() else []
    return lambda labels: all(term(labels) for term in terms)


def _term(text: str) -> Term:
    if found := _SET.fullmatch(text):
        return _within(found["key"], frozenset(v.strip() for v in found["values"].split(",")), found["word"] == "in")
    if found := _EQUAL.fullmatch(text):
        return _within(found["key"], frozenset({found["value"]}), found["word"] != "!=")
    if found := _THERE.fullmatch(text):
        key, wanted = found["key"], not found["not"]
        return lambda labels: (key in labels) == wanted
    raise ValueError(f"{text!r} is no part of a label selector")


def _within(key: str, values: frozenset[str], wanted: bool) -> Term:  # noqa: FBT001 - the two words of a selector
    if wanted:
        return lambda labels: labels.get(key) in values
    return lambda labels: key not in labels or labels[key] not in values
