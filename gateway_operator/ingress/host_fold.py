"""One host from the Ingresses that name it and nothing else: conflicts settled, certificates chosen, faults named.

The rules are upstream's: the oldest wins a path, a certificate, and what holds for the whole host; canaries join the
path that they name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway_operator.ingress.annotation_rows import PREFIX
from gateway_operator.ingress.certificates import CertificateError, Pair
from gateway_operator.ingress.credentials import CredentialError
from gateway_operator.ingress.endpoints import BackendKey, Mode
from gateway_operator.ingress.gateway_config import GatewayConfig
from gateway_operator.ingress.graph_types import (
    Access,
    Auth,
    Backend,
    Host,
    HostCanary,
    HostClients,
    HostRoute,
    HostTls,
    ServedCertificate,
)
from gateway_operator.ingress.host_owners import settle_host
from gateway_operator.ingress.lookup import Lookup, Need
from gateway_operator.ingress.parse import BackendRef, IngressRules, PathKey, PathRule, TlsEntry
from gateway_operator.ingress.policies import Ciphers
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.references import References, backend_of
from gateway_operator.ingress.route_order import match, ordered
from gateway_operator.ingress.snapshot import Object
from gateway_operator.ingress.split_contests import contested
from gateway_operator.ingress.split_rules import PolicyRules
from gateway_operator.ingress.split_types import CONFLICTED, HostSplit, SplitPath


@dataclass(frozen=True)
class Claim:
    """A further name that a host wants: an alias of it, or a name redirected to it (`www`)."""

    name: str
    www: bool
    rules: IngressRules


@dataclass(frozen=True)
class Folded:
    """A finished host, and what it leaves behind: problems, metrics, needs, and names that it would like."""

    host: Host
    problems: tuple[Problem, ...]
    orphans: frozenset[tuple[str, str, str]]
    served: frozenset[ServedCertificate]
    needs: frozenset[Need]
    claims: tuple[Claim, ...]


def fold_host(
    name: str, ingresses: Sequence[IngressRules], lookup: Lookup, config: GatewayConfig, *, passthrough: bool = False
) -> Folded:
    """Build one host; `ingresses` are those that name it, the oldest first."""
    ingresses, problems = settle_host(name, ingresses)
    fold = _Fold(name, ingresses, lookup, config, problems)
    host = fold.host(passthrough=passthrough)
    claims = tuple(fold.claims()) if name else ()
    return Folded(
        host,
        tuple(sorted(set(fold.problems))),
        frozenset(fold.orphans),
        frozenset(fold.served),
        frozenset(lookup.needs),
        claims,
    )


@dataclass
class _Fold:
    """One host being built: the lists that grow."""

    name: str
    ingresses: Sequence[IngressRules]
    lookup: Lookup
    config: GatewayConfig
    problems: list[Problem] = field(default_factory=list)
    orphans: set[tuple[str, str, str]] = field(default_factory=set)
    served: set[ServedCertificate] = field(default_factory=set)
    known: dict[Ref, Access] = field(default_factory=dict)

    @property
    def mains(self) -> list[IngressRules]:
        return [rules for rules in self.ingresses if not rules.annotations.canary.canary]

    def host(self, *, passthrough: bool) -> Host:
        winners: dict[PathKey, HostRoute] = {}
        for rules in self.mains:
            for path in rules.paths:
                if path.host == self.name:
                    self._claim(winners, rules, path)
        for rules in self.ingresses:
            if rules.annotations.canary.canary:
                self._join(winners, rules)
        self._add_app_root(winners)
        fallback = self._fallback()
        clients, closed = self._clients()
        self._find_own_auth(winners)
        root = self._passthrough(winners, fallback, enabled=passthrough)
        return Host(
            self.name,
            tuple(self._with_access(route) for route, _ in ordered(winners.values())),
            self._tls() if self.name else None,
            self._with_access(fallback) if fallback else None,
            clients,
            closed,
            root,
            ciphers=self._ciphers(),
        )

    def _ciphers(self) -> Ciphers | None:
        """Return the host's ciphers: of each of the two, what the oldest Ingress says that says something."""
        notes = [rules.annotations.routing for rules in self.mains]
        names = next((item.ssl_ciphers for item in notes if item.ssl_ciphers), None)
        own = (item.ssl_prefer_server_ciphers for item in notes)
        found = Ciphers(names, next((value for value in own if value is not None), None))
        return None if found == Ciphers() else found

    def _with_access(self, route: HostRoute) -> HostRoute:
        access = self.known[route.rules.ref]
        return replace(route, access=access) if access != route.access else route

    def _tell(self, rules: IngressRules, reason: str, where: str, message: str) -> None:
        self.problems.append(Problem(rules.ref, reason, where, message))

    def _tell_about(self, rules: IngressRules, annotation: str, message: str, reason: str = "InvalidReference") -> None:
        self._tell(rules, reason, f"metadata.annotations[{PREFIX}{annotation}]", message)

    # routes

    def _claim(self, winners: dict[PathKey, HostRoute], rules: IngressRules, path: PathRule) -> None:
        winner = winners.get(path.key)
        if winner is None:
            self._access(rules)
            if path.split:
                winners[path.key] = replace(
                    self._split(rules, path.split), path=path.path, exact=path.exact, plain=path.plain
                )
            else:
                backend = self._backend(rules, path.backend, path.field)
                winners[path.key] = HostRoute(*path.key, backend, rules, path.regex)
        elif winner.rules.ref != rules.ref:
            kind = "Exact" if path.exact else "Prefix"
            message = (
                f"{kind} path {path.path} of host {path.host or '*'} is left out: "
                f"the older {winner.rules.ref.kind} {winner.rules.ref} has it"
            )
            self._tell(rules, CONFLICTED if path.split else "PathConflict", path.field, message)
            self.problems += contested(winner, rules, f"{kind} path {path.path} of host {path.host or '*'}")

    def _split(self, rules: IngressRules, path: SplitPath) -> HostRoute:
        """Return the route of a policy's path; its mirrors are followed whether they have endpoints or not."""
        alive = tuple(name for name, key in path.members().items() if self.lookup.backend(key).endpoints)
        service = path.backend.service if path.backend else None
        key = BackendKey(service.namespace, service.name, service.port) if service else BackendKey("", "", "")
        backend = Backend(key.namespace, key.service, key.port, key, alive=False)
        return HostRoute("/", False, backend, rules, split=HostSplit(path, self.name, alive))

    def _join(self, winners: dict[PathKey, HostRoute], rules: IngressRules) -> None:
        """Add a canary's backends to the paths that they name."""
        for path in rules.paths:
            if path.host != self.name:
                continue
            key = next((key for key in path.keys if key in winners and not winners[key].split), None)
            if key is None:
                message = (
                    f"no Ingress that isn't a canary has this path of host {self.name or '*'}; it gets no requests"
                )
                self._tell(rules, "CanaryWithoutMain", path.field, message)
                continue
            canary = HostCanary(self._backend(rules, path.backend, path.field), rules)
            winners[key] = replace(winners[key], canaries=(*winners[key].canaries, canary))

    def _access(self, rules: IngressRules) -> Access:
        """Look up what an Ingress names, once for this host; routes get it at the end."""
        if rules.ref not in self.known:
            references = References(rules, self.lookup, self.config)
            access = references.access()
            if access.auth is None and not access.closed:
                access = replace(access, auth=references.global_auth())
            self.known[rules.ref] = access
            self.problems.extend(references.problems)
        return self.known[rules.ref]

    def _add_app_root(self, winners: dict[PathKey, HostRoute]) -> None:
        """Make `/` a redirect where the Ingress that serves it says so; other paths below it stay."""
        root = match(ordered(winners.values()), "/")
        target = root.rules.annotations.routing.app_root if root else None
        if root is not None and target:
            winners["/", True] = replace(root, path="/", exact=True, regex=False, app_root=target)
        for rules in self.mains:
            if rules.annotations.routing.app_root and (root is None or root.rules.ref != rules.ref):
                self._tell_about(rules, "app-root", f"the Ingress doesn't serve / of host {self.name or '*'}")

    def _find_own_auth(self, winners: dict[PathKey, HostRoute]) -> None:
        """Let `auth-url` with this host in it lead to the host's own route, without going through the gateway again."""
        routes = ordered(winners.values())
        for rules in self.mains:
            url = rules.annotations.auth.auth_url
            if url is None or url.host or self._access(rules).closed:
                continue
            found = match(routes, url.uri.partition("?")[0])
            if found is None or not found.backend.alive:
                message = "no path of this host that has endpoints answers it; its paths answer 503 until then"
                self._tell_about(rules, "auth-url", message, "AuthUnavailable")
                self.known[rules.ref] = replace(self.known[rules.ref], closed="nobody answers auth-url")
            else:
                tls = (found.rules.annotations.backend.backend_protocol or "http") in {"https", "grpcs"}
                auth = Auth(url, found.backend, tls)
                self.known[rules.ref] = replace(self.known[rules.ref], auth=auth)

    def _fallback(self) -> HostRoute | None:
        where = "spec.defaultBackend"
        winner: HostRoute | None = None
        for rules in self.mains:
            split = rules.default_split if isinstance(rules, PolicyRules) else None
            if rules.default_backend is None and split is None:
                continue
            if winner is not None:
                older = f"the older {winner.rules.ref.kind} {winner.rules.ref} has one"
                message = f"it is not used for host {self.name or '*'}: {older}"
                self._tell(rules, CONFLICTED if split else "PathConflict", where, message)
                self.problems += contested(winner, rules, f"the default backend of host {self.name or '*'}")
                continue
            self._access(rules)
            if split is not None:
                winner = self._split(rules, split)
            elif rules.default_backend is not None:
                winner = HostRoute("/", False, self._backend(rules, rules.default_backend, where), rules)
        return winner

    def _backend(self, rules: IngressRules, wanted: BackendRef, where: str) -> Backend:
        mode = Mode.SERVICE if rules.annotations.backend.service_upstream else Mode.ENDPOINTS
        key = BackendKey(rules.ref.namespace, wanted.service, wanted.port, mode)
        found = self.lookup.backend(key)
        if found.error:
            self._tell(rules, found.reason, where, f"{found.error}; requests get 503")
        if not found.endpoints:
            kind = "no-service" if found.error else "no-endpoint"
            self.orphans.add((rules.ref.namespace, rules.ref.name, kind))
        return backend_of(key, found)

    # what holds for the whole host

    def _clients(self) -> tuple[HostClients | None, str]:
        """Return who signs client certificates, by the oldest Ingress that says so; or why the host is shut."""
        winner: IngressRules | None = None
        for rules in self.mains:
            auth = rules.annotations.auth
            if auth.auth_tls_secret is None or auth.auth_tls_verify_client == "off":
                continue
            if winner is None:
                winner = rules
            elif auth.auth_tls_secret != winner.annotations.auth.auth_tls_secret:
                message = f"it is not used for host {self.name or '*'}: the older Ingress {winner.ref} has one"
                self._tell_about(rules, "auth-tls-secret", message, "HostConflict")
        if winner is None:
            return None, next((self._closed_by(rules) for rules in self.mains if self._closed_by(rules)), "")
        try:
            namespace, name = winner.annotations.auth.auth_tls_secret or ("", "")
            if namespace not in {"", winner.ref.namespace}:
                raise CredentialError("it must lie in the Ingress's own namespace")  # noqa: TRY301
            return HostClients(winner, self.lookup.authority((winner.ref.namespace, name))), self._closed_by(winner)
        except CredentialError as error:
            message = f"{error}; host {self.name or '*'} answers 503 until then"
            self._tell_about(winner, "auth-tls-secret", message)
            return None, "there is no authority for client certificates"

    @staticmethod
    def _closed_by(rules: IngressRules) -> str:
        """Tell whether a wrong value is about client certificates, which are the whole host's."""
        closed = rules.annotations.closed
        return closed if "auth-tls" in closed else ""

    def _passthrough(
        self, winners: dict[PathKey, HostRoute], fallback: HostRoute | None, *, enabled: bool
    ) -> HostRoute | None:
        wanted = next((rules for rules in self.mains if rules.annotations.routing.ssl_passthrough), None)
        if wanted is None or not self.name:
            return None
        if not enabled:
            message = "the gateway runs without --enable-ssl-passthrough: TLS ends at the gateway"
            self._tell_about(wanted, "ssl-passthrough", message, "UnsupportedAnnotation")
            return None
        root = winners.get(("/", False)) or fallback
        if root is None:
            self._tell_about(wanted, "ssl-passthrough", "it needs a backend for path /; TLS ends at the gateway")
        return root

    def claims(self) -> Iterable[Claim]:
        """Return the further names that the host's Ingresses want for it, by the oldest that wants any."""
        aliases = next((rules for rules in self.mains if rules.annotations.routing.server_alias), None)
        if aliases is not None:
            for name in aliases.annotations.routing.server_alias or ():
                if name != self.name:
                    yield Claim(name, False, aliases)
        www = next((rules for rules in self.mains if rules.annotations.routing.from_to_www_redirect), None)
        if www is not None and not self.name.startswith("*"):
            other = self.name.removeprefix("www.") if self.name.startswith("www.") else f"www.{self.name}"
            yield Claim(other, True, www)

    # certificates

    def _tls(self) -> HostTls | None:
        """Choose the certificate: the oldest Ingress whose `tls` has the host, else whose certificates cover it."""
        for rules in self.mains:
            entry = _entry_for(self.name, rules.tls)
            if entry is not None:
                return HostTls(rules, self._pair(rules, entry))
            for candidate in rules.tls:
                pair = self.lookup.pair((rules.ref.namespace, candidate.secret)) if candidate.secret else None
                if isinstance(pair, Pair) and pair.covers(self.name):
                    self._serves(rules, candidate, pair)
                    return HostTls(rules, pair)
        return None

    def _pair(self, rules: IngressRules, entry: TlsEntry) -> Pair | None:
        if not entry.secret:
            return None
        key = (rules.ref.namespace, entry.secret)
        found = self.lookup.pair(key)
        if isinstance(found, Pair) and found.covers(self.name):
            self._serves(rules, entry, found)
            return found
        name = f"Secret {entry.secret}"
        if found is None:
            why = f"there is no {name} of type kubernetes.io/tls in namespace {rules.ref.namespace}"
        elif isinstance(found, CertificateError):
            why = f"{name} can't be used: {found}"
        else:
            why = f"the certificate in {name} is not for {self.name}"
        message = f"{why}; {self.name} is served with the default certificate"
        self._tell(rules, "InvalidCertificate", f"{entry.field}.secretName", message)
        secret = self.lookup.secret(key) if found is not None else None
        if secret is not None:
            self.problems.append(Problem(_secret_ref(secret), "InvalidCertificate", "data", message))
        return None

    def _serves(self, rules: IngressRules, entry: TlsEntry, pair: Pair) -> None:
        self.served.add(ServedCertificate(self.name, rules.ref.namespace, entry.secret, pair.expires, pair.facts))


def _entry_for(host: str, entries: Iterable[TlsEntry]) -> TlsEntry | None:
    wildcard = "*." + host.partition(".")[2]
    exact = next((entry for entry in entries if host in entry.hosts), None)
    return exact or next((entry for entry in entries if wildcard in entry.hosts), None)


def _secret_ref(secret: Object) -> Ref:
    return Ref.of(secret, "Secret", "v1")
