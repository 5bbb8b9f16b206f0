"""Reads the body of a request, after the user was judged and within the size limit."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request

from gateway_operator.web.problems import Problem

_DEEPEST = 64
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


async def json_object(request: Request, *types: str) -> dict[str, Any]:
    """Return the JSON object of a request. Raises Problem 400 or 415."""
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in (types or (JSON,)):
        raise Problem(415, "UnsupportedMediaType", f"the body must be {' or '.join(types or (JSON,))}")
    try:
        body = json.loads(await request.body(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "BadJson", f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise Problem(400, "BadJson", "the body must be a JSON object")
    if _depth(body) > _DEEPEST:
        raise Problem(400, "BadJson", f"the body is nested more than {_DEEPEST} levels deep")
    return body


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _depth(value: Any) -> int:
    """Return how deep a value is nested; level by level, so that a deep one can't exhaust the stack."""
    level, deep = [value], 0
    while level and deep <= _DEEPEST:
        level = [
            child
            for one in level
            if isinstance(one, (dict, list))
            for child in (one.values() if isinstance(one, dict) else one)
        ]
        deep += 1
    return deep
