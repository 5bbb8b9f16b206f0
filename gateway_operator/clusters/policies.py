"""From ClusterTrafficPolicy objects to checked, plain rules, with clear words for what is wrong. Pure.

The API server checks most of it before an object is stored; the same is checked here, because objects may have been
stored under the seed's CRD, which had no checks. What is wrong with a path makes that path answer 503, never fall
through to another one: whose path it was nobody else's rule should answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from gateway_operator.crds.member import NAME
from gateway_operator.crds.policy import (
    DEFAULT_COOKIE,
    HOST,
    KEY_MESSAGE,
    KEY_NAME,
    MAX_PRIORITY,
    MAX_WEIGHT,
    PATH,
    PORT_MESSAGE,
    WEIGHT_MESSAGE,
)
from gateway_operator.crds.traffic import TrafficCondition, TrafficReason

Object = Mapping[str, Any]
Granted = Callable[[str, str], bool]  # may policies of one namespace use services of another?
PATH_TYPES = ("Exact", "Prefix", "ImplementationSpecific")
DEFAULT = "Default"  # the path type of a default backend
_KEY_TYPES = ("Request", "ClientIP", "Header", "Cookie")
_LAST_PORT = 65535
_MAX_HOST, _MAX_PATH = 253, 1024


class _Bad(ValueError):
    """A value that makes its path answer 503."""

    def __init__(self, where: str, reason: TrafficReason, text: str, *, refs: bool = False) -> None:
        super().__init__(text)
        self.where, self.reason, self.refs = where, reason, refs


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, and which condition says so."""

    field: str
    reason: TrafficReason
    text: str
    condition: TrafficCondition = TrafficCondition.ACCEPTED

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"


class Port(NamedTuple):
    """A Service's port, by name or by number."""

    name: str = ""
    number: int = 0

    def __str__(self) -> str:
        return self.name or str(self.number)


class Service(NamedTuple):
    """A Service of a member, as a policy asks for it."""

    namespace: str
    name: str
    port: Port

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A cluster and its weight; None: in proportion to endpoints."""

    cluster: str
    weight: int | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Backend:
    """Who answers, and how requests are spread; `entries` None: every member that has the Service."""

    service: Service
    entries: tuple[Entry, ...] | None = None
    key_type: str = "Request"
    key_name: str = ""
    local_first: bool = False
    fail_on_empty: bool = False
    min_ready_percent: int = 0
    sticky_cookie: str = ""
    sticky_seconds: int = 0


@dataclass(frozen=True, slots=True)
class PathRule:
    """One path of one host. Without a backend it answers 503; `where` is its field in the object."""

    host: str
    path: str
    path_type: str
    backend: Backend | None
    where: str

    @property
    def place(self) -> tuple[str, str, str]:
        """What two rules can't share: host, type and path."""
        return self.host, self.path_type, self.path


@dataclass(frozen=True)
class Policy:
    """A checked policy."""

    namespace: str
    name: str
    uid: str = ""
    generation: int = 0
    created: str = ""
    ingress_class: str = ""
    paths: tuple[PathRule, ...] = ()
    problems: tuple[Problem, ...] = ()
    contests: tuple[tuple[str, str], ...] = ()  # fields that it has and somebody else wants, too, each with who

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def age(self) -> tuple[str, str, str]:
        """Orders policies, the oldest first."""
        return self.created, self.namespace, self.name

    def __str__(self) -> str:
        return f"ClusterTrafficPolicy {self.namespace}/{self.name}"

    @property
    def services(self) -> Iterator[tuple[Service, Backend]]:
        """The Services that it uses; one may come more than once."""
        return ((path.backend.service, path.backend) for path in self.paths if path.backend)


def nobody(_of: str, _to: str) -> bool:
    """Grant nothing."""
    return False


@dataclass
class _Reader:
    """Collects the paths and problems of one object."""

    namespace: str
    granted: Granted
    problems: list[Problem] = field(default_factory=list)
    paths: dict[tuple[str, str, str], PathRule] = field(default_factory=dict)

    def note(self, bad: _Bad) -> None:
        condition = TrafficCondition.RESOLVED_REFS if bad.refs else TrafficCondition.ACCEPTED
        self.problems.append(Problem(bad.where, bad.reason, str(bad), condition))

    def rule(self, rule: Object, where: str) -> None:
        try:
            host = _host(rule.get("host") or "", f"{where}.host")
        except _Bad as bad:
            self.note(bad)
            return
        for index, item in enumerate((rule.get("http") or {}).get("paths") or ()):
            self.path(host, item, f"{where}.http.paths[{index}]")

    def path(self, host: str, item: Object, where: str) -> None:
        try:
            path, type_ = _path(item.get("path") or "/", f"{where}.path"), _type(item.get("pathType"), where)
        except _Bad as bad:
            self.note(bad)
            return
        self.add(host, path, type_, item.get("backend"), where)

    def add(self, host: str, path: str, type_: str, raw: Object | None, where: str) -> None:
        first = self.paths.get((host, type_, path))
        if first is not None:
            text = f"the same host, type and path are at {first.where}, which wins"
            self.note(_Bad(f"{where}.path", TrafficReason.CONFLICTED, text))
            return
        backend = None
        try:
            backend = self.backend(raw or {}, f"{where}.backend" if type_ != DEFAULT else where)
        except _Bad as bad:
            self.note(bad)
        self.paths[host, type_, path] = PathRule(host, path, type_, backend, where)

    def backend(self, raw: Object, where: str) -> Backend:
        service = self.service(raw.get("service") or {}, f"{where}.service")
        key = raw.get("splitKey") or {}
        key_type, key_name = _split_key(key, f"{where}.splitKey")
        sticky = raw.get("sticky")
        cookie = (
            _key_name((sticky.get("cookie") or DEFAULT_COOKIE), f"{where}.sticky.cookie") if sticky is not None else ""
        )
        return Backend(
            service=service,
            entries=_entries(raw.get("clusterTrafficPolicy") or (), f"{where}.clusterTrafficPolicy") or None,
            key_type=key_type,
            key_name=key_name,
            local_first=_choice(raw.get("locality"), ("Any", "LocalFirst"), f"{where}.locality") == "LocalFirst",
            fail_on_empty=_choice(raw.get("onEmpty"), ("Redistribute", "Fail"), f"{where}.onEmpty") == "Fail",
            min_ready_percent=_whole(raw.get("minReadyRatio") or 0, 100, f"{where}.minReadyRatio"),
            sticky_cookie=cookie,
            sticky_seconds=_whole(
                (sticky or {}).get("maxAgeSeconds") or 0, 31_536_000, f"{where}.sticky.maxAgeSeconds"
            ),
        )

    def service(self, raw: Object, where: str) -> Service:
        name, namespace = raw.get("name") or "", raw.get("namespace") or self.namespace
        for text, part in ((name, "name"), (namespace, "namespace")):
            if not re.fullmatch(NAME, text) or len(text) > 63:  # noqa: PLR2004 - a DNS label
                raise _Bad(f"{where}.{part}", TrafficReason.INVALID_BACKEND, f"must be the {part} of a Service")
        port = _port(raw.get("port") or {}, f"{where}.port")
        if namespace != self.namespace and not self.granted(self.namespace, namespace):
            text = f"policies of namespace {self.namespace} have no grant for services of namespace {namespace}"
            raise _Bad(f"{where}.namespace", TrafficReason.REF_NOT_PERMITTED, text, refs=True)
        return Service(namespace, name, port)


def read(obj: Object, granted: Granted = nobody) -> Policy:
    """Read and check one ClusterTrafficPolicy; this never raises on what a user wrote."""
    meta, spec = obj["metadata"], obj.get("spec") or {}
    reader = _Reader(meta["namespace"], granted)
    for index, rule in enumerate(spec.get("rules") or ()):
        reader.rule(rule, f"spec.rules[{index}]")
    if spec.get("defaultBackend"):
        reader.add("", "", DEFAULT, spec["defaultBackend"], "spec.defaultBackend")
    return Policy(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta.get("uid", ""),
        generation=meta.get("generation", 0),
        created=meta.get("creationTimestamp") or "",
        ingress_class=spec.get("ingressClassName") or "",
        paths=tuple(reader.paths.values()),
        problems=tuple(reader.problems),
    )


def _host(text: str, where: str) -> str:
    if len(text) > _MAX_HOST or not re.fullmatch(HOST, text):
        wanted = "must be a host name without a port, or *. and a name; empty means every other host"
        raise _Bad(where, TrafficReason.INVALID_HOST, wanted)
    return text.lower()


def _path(text: str, where: str) -> str:
    if len(text) > _MAX_PATH or not re.fullmatch(PATH, text):
        wanted = 'must begin with / and hold none of ; { } " \\ $ # ?, no spaces and no control characters'
        raise _Bad(where, TrafficReason.INVALID_PATH, wanted)
    return text


def _type(text: str | None, where: str) -> str:
    if text and text not in PATH_TYPES:
        raise _Bad(f"{where}.pathType", TrafficReason.INVALID_PATH, f"must be one of {', '.join(PATH_TYPES)}")
    return text or "Prefix"


def _port(raw: Object, where: str) -> Port:
    name, number = raw.get("name") or "", raw.get("number") or 0
    if bool(name) == bool(number):
        raise _Bad(where, TrafficReason.INVALID_PORT, PORT_MESSAGE)
    if name and (len(name) > 63 or not re.fullmatch(NAME, name)):  # noqa: PLR2004 - a DNS label
        raise _Bad(f"{where}.name", TrafficReason.INVALID_PORT, "must be the name of a Service's port")
    if number and not 0 < number <= _LAST_PORT:
        raise _Bad(f"{where}.number", TrafficReason.INVALID_PORT, f"must be from 1 to {_LAST_PORT}")
    return Port(name, number)


def _entries(raw: Any, where: str) -> tuple[Entry, ...]:
    entries: dict[str, Entry] = {}
    for index, item in enumerate(raw):
        name, here = item.get("name") or "", f"{where}[{index}]"
        if not re.fullmatch(NAME, name):
            raise _Bad(f"{here}.name", TrafficReason.INVALID_BACKEND, "must be the name of a MemberCluster")
        if name in entries:
            text = f"the cluster {name} is there already; name each cluster once"
            raise _Bad(f"{here}.name", TrafficReason.DUPLICATE_CLUSTER, text)
        weight = item.get("weight")
        if weight is not None and not 0 <= weight <= MAX_WEIGHT:
            raise _Bad(f"{here}.weight", TrafficReason.INVALID_WEIGHT, f"must be from 0 to {MAX_WEIGHT}")
        entries[name] = Entry(name, weight, _whole(item.get("priority") or 0, MAX_PRIORITY, f"{here}.priority"))
    if len({entry.weight is None for entry in entries.values()}) > 1:
        raise _Bad(where, TrafficReason.INVALID_WEIGHT, WEIGHT_MESSAGE)
    return _one(tuple(entries[name] for name in sorted(entries)))


@lru_cache(maxsize=1024)
def _one(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Return the same object for equal entries: thousands of paths have few of them."""
    return entries


def _split_key(raw: Object, where: str) -> tuple[str, str]:
    type_, name = raw.get("type") or "Request", raw.get("name") or ""
    if type_ not in _KEY_TYPES:
        raise _Bad(f"{where}.type", TrafficReason.INVALID_SPLIT_KEY, f"must be one of {', '.join(_KEY_TYPES)}")
    if (type_ in {"Header", "Cookie"}) != bool(name):
        raise _Bad(f"{where}.name", TrafficReason.INVALID_SPLIT_KEY, KEY_MESSAGE)
    return type_, _key_name(name, f"{where}.name") if name else ""


def _key_name(text: str, where: str) -> str:
    if len(text) > 64 or not re.fullmatch(KEY_NAME, text):  # noqa: PLR2004 - as in the CRD
        raise _Bad(where, TrafficReason.INVALID_SPLIT_KEY, "must be of letters, digits, - and _, at most 64")
    return text


def _choice(text: str | None, allowed: tuple[str, ...], where: str) -> str:
    if text and text not in allowed:
        raise _Bad(where, TrafficReason.INVALID_OPTION, f"must be one of {', '.join(allowed)}")
    return text or allowed[0]


def _whole(number: int, most: int, where: str) -> int:
    if not 0 <= number <= most:
        raise _Bad(where, TrafficReason.INVALID_OPTION, f"must be from 0 to {most}")
    return number
