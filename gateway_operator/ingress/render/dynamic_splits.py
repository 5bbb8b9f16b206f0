"""Splits as data of a running nginx: `s:<id>` has a split's clusters and shares, `cut` the addresses that are down.

lua/split.lua and lua/cut.lua read them. Weights, endpoints and what probes find never need a reload.
"""

from __future__ import annotations

from typing import Any

from gateway_operator.ingress.plan import Plan, Split
from gateway_operator.ingress.render.dynamic_data import dump
from gateway_operator.ingress.render.static_splits import RETRY_AFTER


def split_data(plan: Plan) -> dict[str, bytes]:
    """Return the entries of a plan's splits."""
    data = {f"s:{split.id}": split_entry(split) for split in plan.splits}
    return data | {"cut": dump(list(plan.cut))} if plan.cut else data


def split_entry(split: Split) -> bytes:
    """Return the entry of a split."""
    found: dict[str, Any] = {
        "key": split.key if split.key != "request" else None,
        "name": split.key_name or None,
        "parts": [
            {"c": part.cluster, "t": part.tag, "u": part.upstream, "s": part.share or None} for part in split.parts
        ],
        "spare": split.spare,
        "cookie": split.cookie,
        "age": split.max_age or None,
        "late": RETRY_AFTER if split.retry_after else None,
        "labels": split.labels,
    }
    return dump(found)
