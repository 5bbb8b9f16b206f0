"""Whose an access line of a shared gateway is: only the route that the gateway names decides, and in doubt nobody's.

The usual log format names routes `namespace-service-port`, which doesn't say where the namespace ends: `a-b-c-80` may
be `a`'s or `a-b`'s. Such a line is its project's only if no other project's name fits; formats with `$namespace` leave
no doubt.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from typing import Literal

from gateway_operator.observe.logs.access_lines import AccessLine

Owned = Literal["yes", "no", "doubt"]
_SERVICE_AND_PORT = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?-([0-9]{1,5}|[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?)")
_NOBODYS = "upstream-default-backend"  # what gateways say of requests without a route


def owned(line: AccessLine, namespace: str, projects: AbstractSet[str] | None) -> Owned:
    """Tell whether a line's route is the namespace's own; `projects` are all namespaces, None: unknown."""
    if line.namespace:
        return "yes" if line.namespace == namespace else "no"
    name = line.upstream_name
    head = f"{namespace}-"
    if name == _NOBODYS or not name.startswith(head) or not _SERVICE_AND_PORT.fullmatch(name[len(head) :]):
        return "no"
    if projects is None:
        return "doubt"
    others = (name[:end] for end, char in enumerate(name) if char == "-")
    return "doubt" if any(other != namespace and other in projects for other in others) else "yes"
