"""Plain helpers for Kubernetes objects as JSON: identities, and a release's manifest as objects."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from gateway_operator.releases import names
from gateway_operator.releases.goyaml import load_all
from gateway_operator.releases.kinds import group_of
from gateway_operator.releases.records import ReleaseKey


class ObjectId(NamedTuple):
    """What names an object in a cluster."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class GroupVersionKind(NamedTuple):
    """A kind as the API server serves it."""

    api_version: str
    kind: str


def object_id(obj: dict[str, Any]) -> ObjectId:
    """Return the identity of an object."""
    meta = obj["metadata"]
    return ObjectId(obj["apiVersion"], obj["kind"], meta.get("namespace") or "", meta["name"])


def release_of(obj: dict[str, Any]) -> ReleaseKey | None:
    """Return the release that Helm wrote onto an object."""
    annotations = obj["metadata"].get("annotations") or {}
    name = annotations.get(names.RELEASE_NAME)
    return (annotations.get(names.RELEASE_NAMESPACE, ""), name) if name else None


def is_kept(obj: dict[str, Any]) -> bool:
    """Tell whether Helm leaves an object alone when it uninstalls; case and spaces don't matter."""
    policy = (obj["metadata"].get("annotations") or {}).get(names.KEEP_POLICY, "")
    return str(policy).strip().lower() == "keep"


def kind_key(obj: dict[str, Any]) -> tuple[str, str]:
    """Return (group, kind)."""
    return group_of(obj), obj["kind"]


@dataclass(frozen=True)
class Manifest:
    """What a revision of a release should be in the cluster.

    The objects are kept packed: a thousand releases of fifteen objects would else be most of the process's memory.
    """

    version: int
    chart: str  # name-version
    digest: str
    ids: tuple[ObjectId, ...]
    packed: bytes

    @cached_property
    def kinds(self) -> frozenset[GroupVersionKind]:
        """The kinds of its objects."""
        return frozenset(GroupVersionKind(found.api_version, found.kind) for found in self.ids)

    def objects(self) -> list[dict[str, Any]]:
        """Unpack the objects."""
        loaded: list[dict[str, Any]] = json.loads(zlib.decompress(self.packed))
        return loaded

    def find(self, wanted: ObjectId) -> dict[str, Any] | None:
        """Return one object."""
        return next((o for o in self.objects() if object_id(o) == wanted), None) if wanted in self.ids else None


def parse_manifest(text: str) -> list[dict[str, Any]]:
    """Return the objects of a rendered manifest; lists are opened."""
    found: list[dict[str, Any]] = []
    for document in load_all(text):
        if isinstance(document, dict):
            found.extend(_open(document))
    return found


def _open(document: dict[str, Any]) -> Iterable[dict[str, Any]]:
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _open(item)
    elif document.get("kind") and (document.get("metadata") or {}).get("name"):
        yield document


def build_manifest(
    objects: list[dict[str, Any]], *, version: int, chart: str, digest: str, release: ReleaseKey
) -> Manifest:
    """Complete objects with what Helm adds when it applies them, and pack them. Namespaces are settled already."""
    complete = [_as_applied(o, release) for o in objects]
    return Manifest(
        version=version,
        chart=chart,
        digest=digest,
        ids=tuple(object_id(o) for o in complete),
        packed=zlib.compress(json.dumps(complete, separators=(",", ":"), default=str).encode()),
    )


def _as_applied(obj: dict[str, Any], release: ReleaseKey) -> dict[str, Any]:
    meta = dict(obj["metadata"])
    meta["labels"] = {**(meta.get("labels") or {}), names.MANAGED_BY: "Helm"}
    meta["annotations"] = {
        **(meta.get("annotations") or {}),
        names.RELEASE_NAME: release[1],
        names.RELEASE_NAMESPACE: release[0],
    }
    applied = {k: v for k, v in obj.items() if k != "status"} | {"metadata": meta}
    if obj.get("apiVersion") == "v1" and obj["kind"] == "Secret" and obj.get("stringData"):
        encoded = {k: base64.b64encode(str(v).encode()).decode() for k, v in applied.pop("stringData").items()}
        applied["data"] = {**(obj.get("data") or {}), **encoded}
    return applied
