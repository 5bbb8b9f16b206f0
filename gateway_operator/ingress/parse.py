"""One Ingress object in, one validated value out: whatever is wrong in it is left out by the rule path and named.

It looks at one object alone, so its results can be kept per object version; what needs the others is `graph`'s work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.ingress import grammar
from gateway_operator.ingress.annotations import Annotations, read_annotations
from gateway_operator.ingress.problems import Problem, Ref


@dataclass(frozen=True)
class BackendRef:
    """A Service in the Ingress's namespace and one of its ports, by name or number."""

    service: str
    port: str


@dataclass(frozen=True)
class PathRule:
    """One path of one host. `path` has lost its trailing slash (but `/` itself), which means nothing for prefixes."""

    host: str
    path: str
    exact: bool
    backend: BackendRef
    field: str


@dataclass(frozen=True)
class TlsEntry:
    """Hosts whose certificate is in a Secret of the Ingress's namespace."""

    hosts: tuple[str, ...]
    secret: str
    field: str


@dataclass(frozen=True)
class IngressRules:
    """What one Ingress asks for, in checked values only."""

    ref: Ref
    version: str
    created: str
    annotations: Annotations
    hosts: tuple[str, ...]
    paths: tuple[PathRule, ...]
    tls: tuple[TlsEntry, ...]
    default_backend: BackendRef | None
    problems: tuple[Problem, ...]

    @property
    def age_key(self) -> tuple[str, str]:
        """The older Ingress wins; among equals, the smaller UID."""
        return (self.created, self.ref.uid)


def parse_ingress(obj: Mapping[str, Any], *, strict_paths: bool) -> IngressRules:
    """Check an Ingress field by field."""
    ref = Ref.of(obj, "Ingress", "networking.k8s.io/v1")
    meta, spec = obj["metadata"], obj.get("spec") or {}
    annotations, problems = read_annotations(ref, meta.get("annotations") or {})
    hosts: dict[str, None] = {}
    paths: list[PathRule] = []
    for index, rule in enumerate(spec.get("rules") or ()):
        where = f"spec.rules[{index}]"
        try:
            host = grammar.host(rule.get("host") or "")
        except grammar.FieldError as error:
            problems.append(Problem(ref, "InvalidHost", f"{where}.host", f"{error}; the rule is left out"))
            continue
        hosts[host] = None
        paths.extend(_paths(ref, where, host, rule, strict_paths=strict_paths, problems=problems))
    return IngressRules(
        ref=ref,
        version=str(meta.get("resourceVersion", "")),
        created=str(meta.get("creationTimestamp") or ""),
        annotations=annotations,
        hosts=tuple(hosts),
        paths=tuple(paths),
        tls=tuple(_tls(ref, spec, problems)),
        default_backend=_backend(ref, "spec.defaultBackend", spec.get("defaultBackend"), problems),
        problems=tuple(problems),
    )


def _paths(
    ref: Ref, where: str, host: str, rule: Mapping[str, Any], *, strict_paths: bool, problems: list[Problem]
) -> Iterator[PathRule]:
    for index, item in enumerate((rule.get("http") or {}).get("paths") or ()):
        field = f"{where}.http.paths[{index}]"
        kind = item.get("pathType") or "ImplementationSpecific"
        try:
            strict = strict_paths and kind in {"Exact", "Prefix"}
            path = grammar.path(item.get("path") or "", strict=strict)
        except grammar.FieldError as error:
            problems.append(Problem(ref, "InvalidPath", f"{field}.path", f"{error}; the path is left out"))
            continue
        backend = _backend(ref, f"{field}.backend", item.get("backend"), problems)
        if backend is not None:
            exact = kind == "Exact"
            yield PathRule(host, path if exact else (path.rstrip("/") or "/"), exact, backend, field)


def _backend(ref: Ref, field: str, backend: Mapping[str, Any] | None, problems: list[Problem]) -> BackendRef | None:
    if not backend:
        return None
    service = backend.get("service")
    if not service:
        message = "only a Service can be a backend; resource backends are not supported"
        problems.append(Problem(ref, "UnsupportedBackend", field, message))
        return None
    port = service.get("port") or {}
    return BackendRef(service["name"], str(port.get("name") or port.get("number") or ""))


def _tls(ref: Ref, spec: Mapping[str, Any], problems: list[Problem]) -> Iterator[TlsEntry]:
    for index, entry in enumerate(spec.get("tls") or ()):
        field = f"spec.tls[{index}]"
        hosts = []
        for host in entry.get("hosts") or ():
            try:
                hosts.append(grammar.host(host))
            except grammar.FieldError as error:
                problems.append(Problem(ref, "InvalidHost", f"{field}.hosts", f"{error}; it is left out"))
        yield TlsEntry(tuple(hosts), entry.get("secretName") or "", field)
