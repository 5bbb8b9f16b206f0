"""From what a person typed (`gateway shop`, `mgw shop`) to an object, its row, its release and Helm's records of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_operator.crds.base import GROUP
from gateway_operator.errors import ConfigError, GatewayOperatorError, NotFound
from gateway_operator.kube import Api, Resource
from gateway_operator.names import release_name
from gateway_operator.releases import names
from gateway_operator.releases.records import ReleaseRecord, parse_record
from gateway_operator.releases.watches import Watch, load_watches

Object = dict[str, Any]
IN_IMAGE = Path("/opt/gateway-operator/watches.yaml")
_VARIABLE = "GATEWAY_OPERATOR_GATEWAY__WATCHES_PATH"


class NoSuchObject(GatewayOperatorError):
    """There is no such kind, object or release."""


@dataclass(frozen=True)
class KindRef:
    """A kind that the operator looks after; `watch` is its row, where the file with the rows is at hand."""

    group: str
    version: str
    kind: str
    selector: str = ""
    watch: Watch | None = None

    @property
    def api_version(self) -> str:
        """Return `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True)
class Target:
    """One custom resource."""

    ref: KindRef
    resource: Resource
    obj: Object

    @property
    def name(self) -> str:
        """Return its name."""
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Return its namespace."""
        return self.obj["metadata"].get("namespace") or ""

    @property
    def owner(self) -> str:
        """Return the owner label that its release's records carry."""
        return names.owner_value(self.ref.group, self.ref.kind, self.name)

    def __str__(self) -> str:
        return f"{self.ref.kind} {self.namespace}/{self.name}"


OWN = tuple(KindRef(GROUP, "v1alpha1", kind) for kind in ("Gateway", "Nginx"))


def find_watches(file: Path | None) -> Path | None:
    """Return the watches.yaml to use: the option's, the environment's, one in this directory, or the image's."""
    given = file or (Path(os.environ[_VARIABLE]) if os.environ.get(_VARIABLE) else None)
    if given is not None:
        return given
    return next((path for path in (Path("watches.yaml"), IN_IMAGE) if path.is_file()), None)


def kinds(file: Path | None) -> tuple[KindRef, ...]:
    """Return the kinds of the rows, or our own two where no file is at hand. Raises ConfigError."""
    path = find_watches(file)
    if path is None:
        return OWN
    return tuple(KindRef(w.group, w.version, w.kind, w.selector, w) for w in load_watches(path))


def with_rows(refs: Sequence[KindRef]) -> None:
    """Check that the rows are known. Raises ConfigError."""
    if any(ref.watch is None for ref in refs):
        raise ConfigError(
            "there is no watches.yaml here: name the operator's with --watches-file (its charts lie beside it)"
        )


async def find(api: Api, refs: Sequence[KindRef], kind: str, name: str, namespace: str) -> Target:
    """Look an object up. Raises NoSuchObject, ApiError, KindNotServed."""
    ref, resource = await resolve(api, refs, kind)
    obj = await api.find(resource, name, namespace if resource.namespaced else None)
    if obj is None:
        raise NoSuchObject(f"there is no {ref.kind} {name} in namespace {namespace}: see -n")
    return Target(ref, resource, obj)


async def resolve(api: Api, refs: Sequence[KindRef], text: str) -> tuple[KindRef, Resource]:
    """Find the kind that a word means: kind, plural, short name, each also with the group. Raises NoSuchObject."""
    word = text.lower()
    for ref in refs:
        if word in {ref.kind.lower(), f"{ref.kind.lower()}.{ref.group}"}:
            return ref, await api.resource(ref.api_version, ref.kind)
    for ref in refs:
        if word.removesuffix(f".{ref.group}") in await _words(api, ref):
            return ref, await api.resource(ref.api_version, ref.kind)
    known = ", ".join(ref.kind for ref in refs)
    raise NoSuchObject(f"no row of watches.yaml is about {text!r}; there are {known}")


async def _words(api: Api, ref: KindRef) -> set[str]:
    """Return plural, singular and short names of a kind."""
    path = f"/apis/{ref.api_version}" if ref.group else f"/api/{ref.version}"
    try:
        answer = await api.raw("GET", path)
    except NotFound:
        return set()
    entries = [e for e in answer.get("resources", []) if e["kind"] == ref.kind and "/" not in e["name"]]
    return {word for e in entries for word in (e["name"], e.get("singularName", ""), *(e.get("shortNames") or []))}


async def records(api: Api, namespace: str | None) -> list[ReleaseRecord]:
    """Return Helm's records in a namespace (None: in all), by release and revision. Raises ApiError."""
    secrets = await api.resource("v1", "Secret")
    listing = await api.list(secrets, namespace, label_selector="owner=helm", metadata_only=True)
    found = [record for item in listing.items if (record := parse_record(item))]
    return sorted(found, key=lambda r: (r.namespace, r.name, r.version))


def release_of_target(target: Target, known: Sequence[ReleaseRecord]) -> str:
    """Name the release of an object: by the label of its records, by its status, or by the rule."""
    owned = [r.name for r in known if r.owner == target.owner and r.status != "uninstalled"]
    if owned:
        return owned[-1]
    status = (target.obj.get("status") or {}).get("deployedRelease") or {}
    return str(status.get("name") or release_name(target.name))
