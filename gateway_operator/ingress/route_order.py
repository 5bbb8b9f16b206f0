"""In which order the routes of a host are asked, and which of them answers a path.

Exact paths first, then regular expressions, the longest text first, then prefixes, the longest first. Where a prefix
is longer than a regular expression of the same host it has to be asked before it (upstream turns all of them into
expressions and sorts by length), so it becomes one too. A policy's plain prefix, which may end inside an element, is
an expression from the start; of the same length the prefix of whole elements is asked first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gateway_operator.ingress.graph_types import HostRoute

_SPECIAL = re.compile(r"[.^$*+?()\[\]{}|\\]")


def ordered(routes: Iterable[HostRoute]) -> list[tuple[HostRoute, str]]:
    """Return the routes in order, each with the expression that it is matched by, "" for exact paths and prefixes."""
    found = list(routes)
    shortest = min((len(route.path) + route.regex for route in found if route.regex or route.plain), default=None)
    result: list[tuple[tuple[int, int, str, bool, bool], HostRoute, str]] = []
    for route in found:
        early = shortest is not None and not route.exact and not route.regex and len(route.path) >= shortest
        expression = route.path if route.regex else _as_regex(route.path, whole=not route.plain) if early else ""
        rank = 0 if route.exact else 1 if expression else 2
        order = (rank, -len(route.path) if expression else 0, route.path, not route.regex, route.plain)
        result.append((order, route, expression))
    return [(route, expression) for _, route, expression in sorted(result, key=lambda item: item[0])]


def _as_regex(prefix: str, *, whole: bool) -> str:
    """Return the expression of a prefix, of `whole` elements or not; it keeps its case, which others don't."""
    escaped = _SPECIAL.sub(lambda match: "\\" + match[0], prefix)
    return f"(?-i:{escaped})(?:/|$)" if whole else f"(?-i:{escaped})"


def match(routes: Sequence[tuple[HostRoute, str]], path: str) -> HostRoute | None:
    """Return the route that answers a path; `routes` come from `ordered`."""
    for route, expression in routes:
        if route.exact and route.path == path:
            return route
        if expression and _matches(expression, path):
            return route
    prefixes = [route for route, expression in routes if not route.exact and not expression]
    hits = [route for route in prefixes if (path + "/").startswith(route.path.rstrip("/") + "/")]
    return max(hits, key=lambda route: len(route.path), default=None)


def _matches(expression: str, path: str) -> bool:
    try:
        return re.match(expression, path, re.IGNORECASE) is not None
    except re.error:
        return False
