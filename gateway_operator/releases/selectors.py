"""LabelSelectors as query strings, because the API server filters, not we."""

from __future__ import annotations

import re
from typing import Any

_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_KEY = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def parse_selector(selector: Any) -> str:
    """Return the query string of a LabelSelector. Raises ValueError."""
    if not isinstance(selector, dict) or not set(selector) <= {"matchLabels", "matchExpressions"}:
        raise ValueError("must be a map with matchLabels and matchExpressions only")
    labels, expressions = selector.get("matchLabels") or {}, selector.get("matchExpressions") or []
    if not isinstance(labels, dict) or not isinstance(expressions, list):
        raise ValueError("matchLabels must be a map, matchExpressions a list")  # noqa: TRY004 - callers know one error
    terms = [f"{_key(key)}={_value(value)}" for key, value in sorted(labels.items())]
    return ",".join(terms + [_expression(e) for e in expressions])


def _expression(expression: Any) -> str:
    if not isinstance(expression, dict) or not set(expression) <= {"key", "operator", "values"}:
        raise ValueError("an entry of matchExpressions has key, operator and values")
    key, operator = _key(expression.get("key")), expression.get("operator")
    values = expression.get("values") or []
    if operator in {"In", "NotIn"}:
        if not isinstance(values, list) or not values:
            raise ValueError(f"matchExpressions: {operator} needs values")
        word = "in" if operator == "In" else "notin"
        return f"{key} {word} ({','.join(_value(v) for v in values)})"
    if operator in {"Exists", "DoesNotExist"}:
        if values:
            raise ValueError(f"matchExpressions: {operator} takes no values")
        return key if operator == "Exists" else f"!{key}"
    raise ValueError(f"matchExpressions: operator must be In, NotIn, Exists or DoesNotExist, not {operator!r}")


def _key(key: Any) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no label key")
    return key


def _value(value: Any) -> str:
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise ValueError(f"{value!r} is no label value; put numbers and true or false in quotes")
    return value
