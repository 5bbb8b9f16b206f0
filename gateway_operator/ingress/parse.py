"""One Ingress object in, one validated value out: whatever is wrong in it is left out by the rule path and named.

It looks at one object alone, so its results can be kept per object version; what needs the others is `graph`'s work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.ingress import grammar
from gateway_operator.ingress.annotations import Annotations, ReadRules, read_annotations
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.split_types import SplitPath


@dataclass(frozen=True)
class BackendRef:
    """A Service in the Ingress's namespace and one of its ports, by name or number."""

    service: str
    port: str


PathKey = tuple[str, bool]


@dataclass(frozen=True)
class PathRule:
    """One path of one host. `path` has lost its trailing slash (but `/` itself), which means nothing for prefixes.

    A `regex` path keeps every character. `raw` is what the user wrote.
    """

    host: str
    path: str
    exact: bool
    backend: BackendRef
    field: str
    regex: bool = False
    raw: str = ""
    split: SplitPath | None = None  # where a policy's path leads to, instead of a backend
    plain: bool = False  # matches whatever begins with these characters

    @property
    def key(self) -> PathKey:
        """What must be unique in a host: an exact path and another may share their text."""
        return (f"~{self.path}" if self.plain else self.path, self.exact)

    @property
    def keys(self) -> tuple[PathKey, ...]:
        """Where a canary looks for its main path, whose Ingress may read the same text as a regular expression."""
        return tuple(dict.fromkeys([self.key, (self.raw, self.exact), (self.raw.replace(".", "\\."), self.exact)]))


@dataclass(frozen=True)
class ParseRules:
    """What the ConfigMap says about reading Ingresses."""

    strict_paths: bool = True
    annotations: ReadRules = ReadRules()


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


def parse_ingress(obj: Mapping[str, Any], parse_rules: ParseRules | None = None) -> IngressRules:
    """Check an Ingress field by field."""
    parse_rules = parse_rules or ParseRules()
    ref = Ref.of(obj, "Ingress", "networking.k8s.io/v1")
    meta, spec = obj["metadata"], obj.get("spec") or {}
    annotations, problems = read_annotations(ref, meta.get("annotations") or {}, parse_rules.annotations)
    reader = _Paths(ref, annotations, parse_rules.strict_paths, problems)
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
        paths.extend(reader.read(where, host, rule))
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


class _Paths:
    """Reads the paths of one Ingress's rules."""

    def __init__(self, ref: Ref, annotations: Annotations, strict: bool, problems: list[Problem]) -> None:  # noqa: FBT001
        self.ref = ref
        self.strict = strict
        self.problems = problems
        self.regex = bool(annotations.routing.use_regex or annotations.routing.rewrite_target)
        self.canary = bool(annotations.canary.canary)

    def read(self, where: str, host: str, rule: Mapping[str, Any]) -> Iterator[PathRule]:
        for index, item in enumerate((rule.get("http") or {}).get("paths") or ()):
            field = f"{where}.http.paths[{index}]"
            kind = item.get("pathType") or "ImplementationSpecific"
            raw = item.get("path") or "/"
            try:
                path, regex = self._path(raw, kind)
            except grammar.FieldError as error:
                self.problems.append(
                    Problem(self.ref, "InvalidPath", f"{field}.path", f"{error}; the path is left out")
                )
                continue
            backend = _backend(self.ref, f"{field}.backend", item.get("backend"), self.problems)
            if backend is not None:
                yield PathRule(host, path, kind == "Exact", backend, field, regex, raw)

    def _path(self, raw: str, kind: str) -> tuple[str, bool]:
        """Return the path and whether it is a regular expression."""
        strict = self.strict and kind in {"Exact", "Prefix"}
        if kind == "Exact":
            return grammar.path(raw, strict=strict), False
        if self.regex:
            if strict:
                grammar.path(raw, strict=True)
            return grammar.regex_path(raw, literal=strict), True
        try:
            return grammar.path(raw, strict=strict).rstrip("/") or "/", False
        except grammar.FieldError:
            if not self.canary:
                raise
            return grammar.regex_path(raw, literal=False), True  # the main Ingress decides what its text means


def _backend(ref: Ref, field: str, backend: Mapping[str, Any] | None, problems: list[Problem]) -> BackendRef | None:
    if not backend:
        return None
    service = backend.get("service")
    if not service:
        message = "only a Service can be a backend; resource backends are not supported"
        problems.append(Problem(ref, "UnsupportedBackend", field, message))
        return None
    port = service.get("port") or {}
    try:
        return BackendRef(grammar.name(service.get("name")), grammar.port(port.get("name") or port.get("number")))
    except grammar.FieldError as error:
        problems.append(Problem(ref, "UnsupportedBackend", field, str(error)))
        return None


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
