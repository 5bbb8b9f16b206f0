"""One host of the graph as servers of the plan, with everything that it needs beside: a pure function of the host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway_operator.ingress import route_policies as policies
from gateway_operator.ingress.endpoints import BackendKey
from gateway_operator.ingress.gateway_config import GatewayConfig
from gateway_operator.ingress.graph_types import Backend, Host, HostCanary, HostRoute
from gateway_operator.ingress.plan import (
    Authority,
    Certificate,
    Labels,
    Passthrough,
    PasswordFile,
    Route,
    RouteSettings,
    Server,
    stable_id,
)
from gateway_operator.ingress.policies import Affinity, Balancing, Canary, ClientAuth, ExternalAuth, Profile, Redirect
from gateway_operator.ingress.problems import Ref
from gateway_operator.ingress.route_order import ordered
from gateway_operator.ingress.split_types import POLICY, HostSplit, SplitNeed

UNAVAILABLE = 503
NOT_FOUND = 404


@dataclass(frozen=True)
class Need:
    """An upstream that somebody needs, without its addresses."""

    key: BackendKey
    balancing: Balancing = Balancing()
    member: bool = False


@dataclass
class HostPlan:
    """What one host adds to the plan, by id."""

    servers: list[Server] = field(default_factory=list)
    upstreams: dict[str, Need] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    authorities: dict[str, Authority] = field(default_factory=dict)
    passwords: dict[str, PasswordFile] = field(default_factory=dict)
    splits: dict[str, SplitNeed] = field(default_factory=dict)
    passthrough: Passthrough | None = None
    index: dict[str, Any] = field(default_factory=dict)


def plan_host(
    host: Host, config: GatewayConfig, default_backend: Backend | None, profiles: dict[Profile, Profile] | None = None
) -> HostPlan:
    """Turn one host into its part of the plan; equal profiles become the same object by way of `profiles`."""
    return _Planning(host, config, default_backend, {} if profiles is None else profiles).run()


def upstream_id(key: BackendKey, protocol: str, balancing: Balancing) -> str:
    """Name an upstream: connections of different protocols or rules never share one."""
    rules = "" if balancing == Balancing() else repr(balancing)
    return stable_id("upstream", key.namespace, key.service, key.port, key.mode, protocol, rules)


@dataclass
class _Planning:
    """One host on its way into the plan."""

    host: Host
    config: GatewayConfig
    default_backend: Backend | None
    profiles: dict[Profile, Profile]
    out: HostPlan = field(default_factory=HostPlan)

    def run(self) -> HostPlan:
        routes = [self._route(route, expression) for route, expression in ordered(self.host.routes)]
        if not any(route.path == "/" and not route.exact and not route.regex for route in routes):
            routes.append(self._fallback())
        if not any(route.regex for route in routes):
            routes.sort(key=lambda route: route.sort_key)
        self._server(self.host.name, tuple(routes))
        if self.host.www and self.host.www_owner is not None:
            self._www(self.host.www, self.host.www_owner.ref)
        if self.host.passthrough is not None:
            self._passthrough(self.host.passthrough)
        return self.out

    def _server(self, name: str, routes: tuple[Route, ...]) -> None:
        host = self.host
        identity = stable_id("server", name)
        self.out.index[identity] = {"host": name, "ingresses": sorted({r.owner for r in routes if r.owner})}
        pair = host.tls.pair if host.tls else None
        certificate = None
        if pair is not None and (name == host.name or pair.covers(name)):
            self.out.certificates[pair.certificate.id] = pair.certificate
            certificate = pair.certificate.id
        self.out.servers.append(
            Server(
                identity,
                name,
                routes,
                certificate,
                host.tls is not None,
                self._owner(host.tls.rules.ref) if host.tls else "",
                host.aliases if name == host.name else (),
                self._client_auth() if name == host.name else None,
                host.ciphers if name == host.name else None,
            )
        )

    def _www(self, name: str, ref: Ref) -> None:
        """Add a server that only sends clients to this host, with the scheme that they came with."""
        redirect = Redirect(self.config.settings.http_redirect_code, f"//{self.host.name}", append_uri=True)
        labels = Labels(ref.namespace, ref.name)
        route = Route("/", False, None, UNAVAILABLE, labels, RouteSettings(redirect=redirect), self._owner(ref))
        self._server(name, (route,))

    def _client_auth(self) -> ClientAuth | None:
        clients = self.host.clients
        if clients is None:
            return None
        self.out.authorities[clients.authority.id] = clients.authority
        notes = clients.rules.annotations.auth
        return ClientAuth(
            clients.authority.id,
            notes.auth_tls_verify_client or "on",
            notes.auth_tls_verify_depth or 1,
            pass_certificate=bool(notes.auth_tls_pass_certificate_to_upstream),
            common_name=notes.auth_tls_match_cn,
            error_page=notes.auth_tls_error_page,
        )

    def _passthrough(self, route: HostRoute) -> None:
        upstream = self._upstream(route.backend, "stream", Balancing())
        self.out.passthrough = Passthrough(self.host.name, upstream, self._owner(route.rules.ref)) if upstream else None

    # routes

    def _fallback(self) -> Route:
        if self.host.fallback is not None:
            return self._route(self.host.fallback, "")
        backend = self.default_backend
        if backend is None:
            return Route("/", False, None, NOT_FOUND)
        labels = Labels(backend.namespace, "", backend.service, backend.port)
        return Route("/", False, self._upstream(backend, "http", Balancing()), UNAVAILABLE, labels)

    def _route(self, route: HostRoute, expression: str) -> Route:
        ref, backend = route.rules.ref, route.backend
        labels = Labels(ref.namespace, ref.name, backend.service, backend.port)
        tls_redirect = self._redirects(route)
        asks = route.access.auth is not None and not self._is_exempt(route)
        auth = self._auth(route) if asks else None
        path, owner, regex = expression or route.path, self._owner(ref), bool(expression)
        if route.access.closed or self.host.closed or (asks and auth is None):
            settings = RouteSettings(tls_redirect=tls_redirect)
            return Route(path, route.exact, None, UNAVAILABLE, labels, settings, owner, regex)
        upstream, settings, profile = self._open(route, auth, tls_redirect=tls_redirect)
        split = self._split(route, route.split) if route.split else None
        return Route(path, route.exact, upstream, UNAVAILABLE, labels, settings, owner, regex, profile, split)

    def _split(self, route: HostRoute, split: HostSplit) -> str:
        """Add a policy's path, with an upstream for each cluster that has endpoints."""
        path, members = split.path, split.path.members()
        config = path.config
        identity = stable_id(
            "split", path.namespace, path.policy, self.host.name, config.host, config.type, config.path
        )
        balancing = policies.balancing_of(route.rules, self.config, None)
        upstreams = []
        for cluster in split.alive:
            key = members[cluster]
            upstreams.append((cluster, upstream_id(key, "member", balancing)))
            self.out.upstreams[upstreams[-1][1]] = Need(key, balancing, member=True)
            labels = {"namespace": path.namespace, "service": key.service, "port": key.port, "cluster": cluster}
            self.out.index[upstreams[-1][1]] = labels
        self.out.splits[identity] = SplitNeed(identity, path, tuple(upstreams))
        self.out.index[identity] = {"namespace": path.namespace, "policy": path.policy, "where": config.where}
        return identity

    def _open(
        self, route: HostRoute, auth: ExternalAuth | None, *, tls_redirect: bool
    ) -> tuple[str | None, RouteSettings, Profile]:
        """Return what a route that may be served is like."""
        self._keep(route)
        protocol = policies.protocol_of(route.rules)
        affinity = policies.affinity_of(route)
        error = self._error_upstream(route)
        upstream = self._upstream(route.backend, protocol, policies.balancing_of(route.rules, self.config, affinity))
        profile = policies.profile_of(route, self.config, auth, error)
        settings = policies.settings_of(
            route,
            self.config,
            tls_redirect=tls_redirect,
            error_upstream=error if profile.intercept_errors else None,
            canaries=tuple(self._canary(canary, protocol, affinity) for canary in route.canaries),
        )
        if upstream is None and not route.split and route.access.error_backend is not None and protocol == "http":
            upstream = error
        return upstream, settings, self.profiles.setdefault(profile, profile)

    def _canary(self, canary: HostCanary, protocol: str, affinity: Affinity | None) -> Canary:
        notes, backend, ref = canary.rules.annotations.canary, canary.backend, canary.rules.ref
        sticky = affinity if affinity and affinity.canary_sticky else None
        total = notes.canary_weight_total or 100
        return Canary(
            self._upstream(backend, protocol, policies.balancing_of(canary.rules, self.config, sticky)),
            min(notes.canary_weight or 0, total),
            total,
            notes.canary_by_header,
            notes.canary_by_header_value if notes.canary_by_header else None,
            notes.canary_by_header_pattern if notes.canary_by_header and not notes.canary_by_header_value else None,
            notes.canary_by_cookie,
            Labels(ref.namespace, ref.name, backend.service, backend.port).upstream_name,
            self._owner(ref),
        )

    def _is_exempt(self, route: HostRoute) -> bool:
        """Tell whether a path lies below those that the gateway-wide authentication leaves alone."""
        auth, wide = route.access.auth, self.config.global_auth
        return bool(auth and auth.is_global and wide and any(route.path.startswith(path) for path in wide.exempt))

    def _auth(self, route: HostRoute) -> ExternalAuth | None:
        """Return who decides; None where nobody answers."""
        auth = route.access.auth
        upstream = self._upstream(auth.backend, "https" if auth.tls else "http", Balancing()) if auth else None
        return policies.external_auth(route.rules, route.access, self.config, upstream) if upstream else None

    def _error_upstream(self, route: HostRoute) -> str | None:
        backend = route.access.error_backend or self.default_backend
        return self._upstream(backend, "http", Balancing()) if backend else None

    def _redirects(self, route: HostRoute) -> bool:
        if any(route.path.startswith(prefix) for prefix in self.config.no_tls_redirect):
            return False
        notes = route.rules.annotations.routing
        force = self.config.force_ssl_redirect if notes.force_ssl_redirect is None else notes.force_ssl_redirect
        wanted = self.config.ssl_redirect if notes.ssl_redirect is None else notes.ssl_redirect
        return force or (wanted and self.host.tls is not None)

    # what others keep for this host

    def _keep(self, route: HostRoute) -> None:
        access = route.access
        if access.passwords is not None:
            self.out.passwords[access.passwords.id] = access.passwords
        if access.pair is not None:
            self.out.certificates[access.pair.certificate.id] = access.pair.certificate
        if access.authority is not None:
            self.out.authorities[access.authority.id] = access.authority

    def _upstream(self, backend: Backend, protocol: str, balancing: Balancing) -> str | None:
        if not backend.alive:
            return None
        identity = upstream_id(backend.key, protocol, balancing)
        self.out.upstreams[identity] = Need(backend.key, balancing)
        self.out.index[identity] = {"namespace": backend.namespace, "service": backend.service, "port": backend.port}
        return identity

    def _owner(self, ref: Ref) -> str:
        kind = "policy" if ref.kind == POLICY else "ingress"
        identity = stable_id(kind, ref.namespace, ref.name)
        self.out.index[identity] = {"namespace": ref.namespace, kind: ref.name, "uid": ref.uid}
        return identity
