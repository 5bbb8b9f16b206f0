"""What a release gets as values, and the digest that decides whether Helm has anything to do.

The digest is over inputs (chart content, values, name), never over rendered text: charts with random passwords or
`lookup` would else be upgraded for ever.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway_operator.releases.setpaths import MISSING, Path, get_path, set_path

ENGINE_SCHEMA = 1  # raise it when the same inputs must give another release
DIGEST_LENGTH = 40  # a label value has 63 characters at most
_SECRET = re.compile(r"token|password|passwd|secret|credential|private|apikey", re.IGNORECASE)
_SHOWN = 200


@dataclass(frozen=True)
class Override:
    """One entry of `overrideValues`."""

    text: str
    path: Path
    value: Any


@dataclass(frozen=True)
class ReleaseValues:
    """The user values of a release, and the paths at which an override replaced what the resource says."""

    values: dict[str, Any]
    overridden: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # the same for people, with the values


def merge(base: dict[str, Any], over: dict[str, Any], *, keep_nulls: bool = True) -> dict[str, Any]:
    """Lay `over` on `base` by Helm's rule: maps merge, lists and scalars replace, null deletes.

    With `keep_nulls` a null stays as a null, for Helm to delete the chart's default with.
    """
    result = copy.deepcopy(base)
    for key, value in over.items():
        old = result.get(key)
        if value is None and not keep_nulls:
            result.pop(key, None)
        elif isinstance(old, dict) and isinstance(value, dict):
            result[key] = merge(old, value, keep_nulls=keep_nulls)
        elif isinstance(value, dict) and not keep_nulls:
            result[key] = merge({}, value, keep_nulls=False)
        else:
            result[key] = copy.deepcopy(value)
    return result


def build_values(values: dict[str, Any], overrides: Iterable[Override], *, suppress: bool = False) -> ReleaseValues:
    """Set the overrides on top of `values` and remember which of the user's own words they replaced.

    With `suppress`, the remarks show no values; those whose keys look secret they never show.
    """
    result = values
    overridden, remarks = [], []
    for override in overrides:
        own = get_path(values, override.path)
        if own is not MISSING and own != override.value:
            overridden.append(override.text)
            hidden = suppress or _SECRET.search(override.text)
            shown = "****" if hidden else canonical_json(override.value)[:_SHOWN]
            remarks.append(f"watches.yaml sets {override.text} to {shown}; what this object says there is not used")
        result = set_path(result, override.path, override.value)
    return ReleaseValues(result, tuple(overridden), tuple(remarks))


def canonical_json(value: Any) -> str:
    """Return the one JSON text that equal values have."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def text_digest(value: Any) -> str:
    """Return a short name for plain data."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def input_digest(*, chart_digest: str, values: dict[str, Any], release_name: str) -> str:
    """Return the digest of everything that decides what a release looks like."""
    text = canonical_json([ENGINE_SCHEMA, chart_digest, release_name, values])
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
