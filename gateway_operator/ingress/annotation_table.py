"""The one table of annotations: what an Ingress that moves here can expect of each.

Reading (`annotations`), the documentation and `gateway-operator compat` all come from it, so they can't disagree.
"""

from __future__ import annotations

import types
from collections.abc import Mapping

from gateway_operator.ingress.annotation_access import AuthNotes, CorsNotes, LimitNotes
from gateway_operator.ingress.annotation_backend import BackendNotes, ExtraNotes
from gateway_operator.ingress.annotation_balancing import BalancingNotes, CanaryNotes
from gateway_operator.ingress.annotation_refused import REFUSED
from gateway_operator.ingress.annotation_routing import RoutingNotes
from gateway_operator.ingress.annotation_rows import OURS, PREFIX, Row, rows_of

GROUPS: Mapping[str, type] = types.MappingProxyType(
    {
        "routing": RoutingNotes,
        "backend": BackendNotes,
        "balancing": BalancingNotes,
        "canary": CanaryNotes,
        "auth": AuthNotes,
        "cors": CorsNotes,
        "limits": LimitNotes,
        "extra": ExtraNotes,
    }
)
GROUP_ROWS: Mapping[str, tuple[Row, ...]] = types.MappingProxyType(
    {group: rows_of(kind) for group, kind in GROUPS.items()}
)
TABLE: tuple[Row, ...] = (*(row for rows in GROUP_ROWS.values() for row in rows), *REFUSED)
PREFIXES = (PREFIX, OURS)


def _by_key() -> dict[str, Row]:
    found = {row.key: row for row in TABLE}
    found |= {row.prefix + alias: row for row in TABLE for alias in row.aliases}
    return found


BY_KEY: Mapping[str, Row] = types.MappingProxyType(_by_key())


def find(key: str) -> Row | None:
    """Return the row of an annotation as users write it, by its name or by an older one."""
    return BY_KEY.get(key)


def is_relevant(key: str) -> bool:
    """Tell whether an annotation speaks to this gateway; our prefix also names things of other parts."""
    return key.startswith(PREFIX) or key in BY_KEY
