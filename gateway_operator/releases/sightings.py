"""What is kept of an object that a watch shows: enough to suspect drift, and little, for there may be thousands.

The owners of its fields are the big part of an object's metadata. They are read once, on arrival: where nobody but
Helm and controllers has written, Helm's fields are kept packed, and prove later without a request that all is as the
chart says.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from functools import lru_cache
from typing import Any

from gateway_operator.kube import shared
from gateway_operator.releases import names
from gateway_operator.releases.comparison import Owners
from gateway_operator.releases.drift_rules import POLICY_ANNOTATION
from gateway_operator.releases.managers import Role
from gateway_operator.releases.ownership import Tree, entries, tree_of

PROOF, MARK = "proof", "mark"  # our own keys in the metadata of a kept object
_KEPT = ("name", "namespace", "uid", "resourceVersion", "generation", "deletionTimestamp")
_READ = (names.RELEASE_NAME, names.RELEASE_NAMESPACE, names.KEEP_POLICY, POLICY_ANNOTATION)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def slim(obj: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of an object of which only metadata is needed."""
    meta = obj["metadata"]
    annotations = meta.get("annotations") or {}
    kept = {key: meta[key] for key in _KEPT if key in meta}
    kept["annotations"] = _same(tuple((key, annotations[key]) for key in _READ if key in annotations))
    return {"metadata": kept | {PROOF: proof_of(obj), MARK: _mark(meta)}}


def service(obj: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a Service; one without an address and without pods of its own tells no status anything."""
    spec = obj.get("spec") or {}
    return slim(obj) if spec.get("clusterIP") == "None" and not spec.get("selector") else whole(obj)


def is_slim(kept: dict[str, Any]) -> bool:
    """Tell whether only metadata was kept."""
    return kept.keys() == {"metadata"}


def whole(obj: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of an object that is needed whole: all but its field owners and kubectl's copy of it."""
    meta = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if _LAST_APPLIED in (meta.get("annotations") or {}):
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k != _LAST_APPLIED}
    kept: dict[str, Any] = shared({**obj, "metadata": meta})
    kept["metadata"] |= {PROOF: proof_of(obj), MARK: _mark(obj["metadata"])}
    return kept


def proof_of(obj: dict[str, Any]) -> bytes | None:
    """Pack what Helm owns by applies and by updates; None where people own something, too."""
    who = Owners(obj)
    helm = [e for e in entries(obj) if tree_of(e) and who.role(e.get("manager", "")) is Role.HELM]
    if who.trees[Role.PERSON] or not helm:
        return None
    trees = [[tree_of(e) for e in helm if (e.get("operation") == "Apply") is applied] for applied in (True, False)]
    return _one(zlib.compress(json.dumps(trees).encode(), 1))


@lru_cache(maxsize=1024)
def _same(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return the same annotations for all objects of a release. Never alter them."""
    return dict(pairs)


@lru_cache(maxsize=1024)
def _one(packed: bytes) -> bytes:
    """Return the same bytes for all objects of a shape."""
    return packed


def proven(kept: dict[str, Any]) -> tuple[list[Tree], list[Tree]]:
    """Unpack a proof; both are empty when there is none."""
    packed = kept["metadata"].get(PROOF)
    applied, updated = json.loads(zlib.decompress(packed)) if packed else ([], [])
    return applied, updated


def suspicious(type_: str, obj: dict[str, Any], previous: dict[str, Any] | None, *, first: bool) -> bool:
    """Tell whether an event may mean drift: anything but a new status, a heartbeat, or the `first` list."""
    if type_ == "DELETED":
        return True
    if previous is None:
        return not first
    new, old = obj["metadata"], previous["metadata"]
    if new.get("resourceVersion") == old.get("resourceVersion"):
        return False
    if any(new.get(part) != old.get(part) for part in ("generation", MARK, "uid")):
        return True
    return "generation" not in new


def _mark(meta: dict[str, Any]) -> bytes:
    """Stand for labels and annotations."""
    text = json.dumps([meta.get("labels"), meta.get("annotations")], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
