"""All Ingresses folded into hosts: conflicts settled, certificates chosen, backends resolved, every fault named.

The rules are upstream's (oldest wins; exact beats wildcard; a missing certificate means the default one), and the
unit is the host: `_host` builds one host from the Ingresses that name it and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway_operator.ingress import endpoints
from gateway_operator.ingress.certificates import CertificateError, Pair, load_secret
from gateway_operator.ingress.memo import Memo
from gateway_operator.ingress.parse import BackendRef, IngressRules, PathRule, TlsEntry, parse_ingress
from gateway_operator.ingress.plan import Endpoint
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.snapshot import Key, Snapshot


@dataclass(frozen=True)
class Backend:
    """A Service's port with the addresses that serve it now."""

    namespace: str
    service: str
    port: str
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True)
class HostRoute:
    """One path of a host and the Ingress that won it."""

    path: str
    exact: bool
    backend: Backend
    rules: IngressRules


@dataclass(frozen=True)
class HostTls:
    """The host answers TLS; without a pair with the default certificate."""

    rules: IngressRules
    pair: Pair | None


@dataclass(frozen=True)
class Host:
    """Everything that is served under one host; `fallback` takes what no route matches."""

    name: str
    routes: tuple[HostRoute, ...]
    tls: HostTls | None
    fallback: HostRoute | None


@dataclass(frozen=True)
class Graph:
    """The validated whole. `orphans` counts backends by what they lack, for the metric."""

    hosts: tuple[Host, ...]
    default_backend: Backend | None
    default_pair: Pair | None
    problems: tuple[Problem, ...]
    orphans: tuple[tuple[str, str, str], ...]
    expiries: tuple[tuple[str, str, str, float], ...]


class GraphBuilder:
    """Folds snapshots into graphs; it keeps what it learned of unchanged objects between passes."""

    def __init__(self, *, default_backend: str = "", default_certificate: str = "") -> None:
        self._default_backend = _key(default_backend)
        self._default_certificate = _key(default_certificate)
        self._parse = {strict: Memo[IngressRules](_parser(strict_paths=strict)) for strict in (True, False)}
        self._load = Memo[Pair | CertificateError](_load)

    def build(self, snapshot: Snapshot, *, strict_paths: bool = True, left_out: frozenset[str] = frozenset()) -> Graph:
        """Build the graph; Ingresses whose UIDs are in `left_out` are treated as absent."""
        parse = self._parse[strict_paths]
        rules = sorted((parse(obj) for obj in snapshot.ingresses), key=lambda item: item.age_key)
        fold = _Fold(snapshot, self._load)
        fold.problems.extend(problem for item in rules for problem in item.problems)
        graph = fold.graph(
            [item for item in rules if item.ref.uid not in left_out], self._default_backend, self._default_certificate
        )
        for memo in self._parse.values():
            memo.sweep()
        self._load.sweep()
        return graph


class _Fold:
    """One fold over one snapshot: the lists that grow while hosts are built."""

    def __init__(self, snapshot: Snapshot, load: Memo[Pair | CertificateError]) -> None:
        self.snapshot = snapshot
        self.load = load
        self.problems: list[Problem] = []
        self.orphans: set[tuple[str, str, str]] = set()
        self.expiries: set[tuple[str, str, str, float]] = set()
        self.backends: dict[tuple[str, BackendRef], tuple[Backend, endpoints.BackendError | None]] = {}

    def graph(self, ingresses: Sequence[IngressRules], backend: Key | None, certificate: Key | None) -> Graph:
        by_host: dict[str, list[IngressRules]] = {"": []}
        for rules in ingresses:
            for host in rules.hosts or ("",):
                by_host.setdefault(host, []).append(rules)
        hosts = tuple(self._host(name, by_host[name]) for name in sorted(by_host))
        default_backend = self._default_backend(backend)
        pair = self._pair_of(certificate) if certificate else None
        return Graph(
            hosts,
            default_backend,
            pair if isinstance(pair, Pair) else None,
            tuple(sorted(set(self.problems))),
            tuple(sorted(self.orphans)),
            tuple(sorted(self.expiries)),
        )

    def _host(self, name: str, ingresses: Sequence[IngressRules]) -> Host:
        winners: dict[tuple[str, bool], HostRoute] = {}
        for rules in ingresses:
            for path in rules.paths:
                if path.host == name:
                    self._claim(winners, rules, path)
        return Host(
            name,
            tuple(winners[key] for key in sorted(winners)),
            self._tls(name, ingresses) if name else None,
            self._fallback(name, ingresses),
        )

    def _claim(self, winners: dict[tuple[str, bool], HostRoute], rules: IngressRules, path: PathRule) -> None:
        key = (path.path, path.exact)
        winner = winners.get(key)
        if winner is None:
            winners[key] = HostRoute(*key, self._backend(rules, path.backend, path.field), rules)
        elif winner.rules.ref != rules.ref:
            kind = "Exact" if path.exact else "Prefix"
            message = (
                f"{kind} path {path.path} of host {path.host or '*'} is left out: "
                f"the older Ingress {winner.rules.ref} has it"
            )
            self.problems.append(Problem(rules.ref, "PathConflict", path.field, message))

    def _fallback(self, name: str, ingresses: Iterable[IngressRules]) -> HostRoute | None:
        field = "spec.defaultBackend"
        winner: HostRoute | None = None
        for rules in ingresses:
            if rules.default_backend is None:
                continue
            if winner is None:
                winner = HostRoute("/", False, self._backend(rules, rules.default_backend, field), rules)
            else:
                message = f"it is not used for host {name or '*'}: the older Ingress {winner.rules.ref} has one"
                self.problems.append(Problem(rules.ref, "PathConflict", field, message))
        return winner

    def _backend(self, rules: IngressRules, wanted: BackendRef, field: str) -> Backend:
        key = (rules.ref.namespace, wanted)
        if key not in self.backends:
            self.backends[key] = self._resolve(*key)
        backend, error = self.backends[key]
        if error is not None:
            self.problems.append(Problem(rules.ref, error.reason, field, f"{error}; requests get 503"))
        if not backend.endpoints:
            kind = "no-service" if error is not None else "no-endpoint"
            self.orphans.add((rules.ref.namespace, rules.ref.name, kind))
        return backend

    def _resolve(self, namespace: str, wanted: BackendRef) -> tuple[Backend, endpoints.BackendError | None]:
        error = None
        found: tuple[Endpoint, ...] = ()
        try:
            found = endpoints.resolve(self.snapshot, namespace, wanted)
        except endpoints.BackendError as caught:
            error = caught
        return Backend(namespace, wanted.service, wanted.port, found), error

    def _default_backend(self, key: Key | None) -> Backend | None:
        if key is None:
            return None
        ports = (self.snapshot.services.get(key, {}).get("spec") or {}).get("ports") or ()
        wanted = BackendRef(key[1], str(ports[0]["port"]) if ports else "")
        return self._resolve(key[0], wanted)[0]

    def _tls(self, host: str, ingresses: Iterable[IngressRules]) -> HostTls | None:
        """Choose the certificate: the oldest Ingress whose `tls` has the host, else whose certificates cover it."""
        for rules in ingresses:
            entry = _entry_for(host, rules.tls)
            if entry is not None:
                return HostTls(rules, self._pair(host, rules, entry))
            for candidate in rules.tls:
                pair = self._pair_of((rules.ref.namespace, candidate.secret)) if candidate.secret else None
                if isinstance(pair, Pair) and pair.covers(host):
                    self._expires(host, rules, candidate, pair)
                    return HostTls(rules, pair)
        return None

    def _pair(self, host: str, rules: IngressRules, entry: TlsEntry) -> Pair | None:
        if not entry.secret:
            return None
        found = self._pair_of((rules.ref.namespace, entry.secret))
        if isinstance(found, Pair) and found.covers(host):
            self._expires(host, rules, entry, found)
            return found
        name = f"Secret {entry.secret}"
        if found is None:
            why = f"there is no {name} of type kubernetes.io/tls in namespace {rules.ref.namespace}"
        elif isinstance(found, CertificateError):
            why = f"{name} can't be used: {found}"
        else:
            why = f"the certificate in {name} is not for {host}"
        message = f"{why}; {host} is served with the default certificate"
        self.problems.append(Problem(rules.ref, "InvalidCertificate", f"{entry.field}.secretName", message))
        if found is not None:
            self.problems.append(
                Problem(_secret_ref(self.snapshot, rules, entry), "InvalidCertificate", "data", message)
            )
        return None

    def _pair_of(self, key: Key) -> Pair | CertificateError | None:
        secret = self.snapshot.secrets.get(key)
        return None if secret is None else self.load(secret)

    def _expires(self, host: str, rules: IngressRules, entry: TlsEntry, pair: Pair) -> None:
        self.expiries.add((host, rules.ref.namespace, entry.secret, pair.expires))


def _entry_for(host: str, entries: Iterable[TlsEntry]) -> TlsEntry | None:
    wildcard = "*." + host.partition(".")[2]
    exact = next((entry for entry in entries if host in entry.hosts), None)
    return exact or next((entry for entry in entries if wildcard in entry.hosts), None)


def _secret_ref(snapshot: Snapshot, rules: IngressRules, entry: TlsEntry) -> Ref:
    return Ref.of(snapshot.secrets[(rules.ref.namespace, entry.secret)], "Secret", "v1")


def _load(secret: Mapping[str, Any]) -> Pair | CertificateError:
    try:
        return load_secret(secret)
    except CertificateError as error:
        return error


def _parser(*, strict_paths: bool) -> Callable[[Mapping[str, Any]], IngressRules]:
    return lambda obj: parse_ingress(obj, strict_paths=strict_paths)


def _key(reference: str) -> Key | None:
    namespace, _, name = reference.partition("/")
    return (namespace, name) if name else None
