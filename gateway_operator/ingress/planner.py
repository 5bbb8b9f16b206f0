"""From the graph to the plan: hash names for everything, fallbacks filled in, redirects decided.

Beside the plan it gives the index that leads from a hash back to the objects behind it; nginx never sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.crds.config_keys import parse_config
from gateway_operator.ingress.certificates import Pair
from gateway_operator.ingress.graph import Backend, Graph, Host, HostRoute
from gateway_operator.ingress.plan import (
    Labels,
    Machine,
    Plan,
    Route,
    RouteSettings,
    Server,
    Settings,
    Upstream,
    stable_id,
)
from gateway_operator.ingress.policies import Profile
from gateway_operator.ingress.problems import Problem, Ref

CONNECT_TIMEOUT = "1s"  # upstream's 5 s makes clients wait for a dead pod that a second try would have answered


@dataclass(frozen=True)
class GatewayConfig:
    """The ConfigMap, read: settings for the plan, and the few keys that shape the graph or the status."""

    settings: Settings
    ssl_redirect: bool
    force_ssl_redirect: bool
    no_tls_redirect: tuple[str, ...]
    strict_paths: bool
    status_excluded: frozenset[str]
    problems: tuple[Problem, ...]


def read_config(data: Mapping[str, str], ref: Ref) -> GatewayConfig:
    """Read the ConfigMap; a bad value leaves its key at the default and becomes a problem of the ConfigMap."""
    values, found = parse_config(data)
    if "proxy-connect-timeout" not in data:
        values["proxy-connect-timeout"] = CONNECT_TIMEOUT
    return GatewayConfig(
        Settings.from_config(values),
        values["ssl-redirect"],
        values["force-ssl-redirect"],
        values["no-tls-redirect-locations"],
        values["strict-validate-path-type"],
        frozenset(values["status-excluded-namespaces"]),
        tuple(
            Problem(ref, "InvalidConfig" if p.fatal else "UnsupportedConfig", f"data[{p.key}]", p.message)
            for p in found
        ),
    )


@dataclass(frozen=True)
class Compiled:
    """A plan and the way back: hash → the objects that it stands for."""

    plan: Plan
    index: Mapping[str, Any]


def compile_plan(graph: Graph, config: GatewayConfig, machine: Machine, fake: Pair) -> Compiled:
    """Turn a validated graph into a plan."""
    compiler = _Compiler(graph, config)
    servers = tuple(compiler.server(host) for host in graph.hosts)
    default = graph.default_pair or fake
    certificates = {default.certificate.id: default.certificate}
    for host in graph.hosts:
        if host.tls and host.tls.pair:
            certificates[host.tls.pair.certificate.id] = host.tls.pair.certificate
    plan = Plan(
        machine=machine,
        settings=config.settings,
        servers=tuple(sorted(servers, key=lambda item: item.host)),
        upstreams=tuple(compiler.upstreams[key] for key in sorted(compiler.upstreams)),
        certificates=tuple(certificates[key] for key in sorted(certificates)),
        default_certificate=default.certificate.id,
    )
    return Compiled(plan, {key: compiler.index[key] for key in sorted(compiler.index)})


class _Compiler:
    def __init__(self, graph: Graph, config: GatewayConfig) -> None:
        self.graph = graph
        self.config = config
        self.upstreams: dict[str, Upstream] = {}
        self.index: dict[str, Any] = {}

    def server(self, host: Host) -> Server:
        routes = [self._route(host, route) for route in host.routes]
        if not any(route.path == "/" and not route.exact for route in routes):
            routes.append(self._fallback(host))
        identity = stable_id("server", host.name)
        self.index[identity] = {"host": host.name, "ingresses": sorted({r.owner for r in routes if r.owner})}
        return Server(
            identity,
            host.name,
            tuple(sorted(routes, key=lambda route: route.sort_key)),
            host.tls.pair.certificate.id if host.tls and host.tls.pair else None,
            host.tls is not None,
            self._owner(host.tls.rules.ref) if host.tls else "",
        )

    def _fallback(self, host: Host) -> Route:
        if host.fallback is not None:
            return self._route(host, host.fallback)
        backend = self.graph.default_backend
        if backend is None:
            return Route("/", False, None, 404)
        labels = Labels(backend.namespace, "", backend.service, backend.port)
        return Route("/", False, self._upstream(backend, tls=False), 503, labels)

    def _route(self, host: Host, route: HostRoute) -> Route:
        notes, backend, ref = route.rules.annotations, route.backend, route.rules.ref
        profile = Profile(
            protocol="https" if notes.backend_protocol == "HTTPS" else "http", body_size=notes.proxy_body_size
        )
        settings = RouteSettings(
            tls_redirect=self._redirects(host, route),
            connect_timeout=notes.proxy_connect_timeout,
            read_timeout=notes.proxy_read_timeout,
            send_timeout=notes.proxy_send_timeout,
            upstream_host=notes.upstream_vhost,
        )
        return Route(
            route.path,
            route.exact,
            self._upstream(backend, tls=profile.protocol == "https"),
            503,
            Labels(ref.namespace, ref.name, backend.service, backend.port),
            settings,
            self._owner(ref),
            profile=profile,
        )

    def _redirects(self, host: Host, route: HostRoute) -> bool:
        if any(route.path.startswith(prefix) for prefix in self.config.no_tls_redirect):
            return False
        notes = route.rules.annotations
        force = self.config.force_ssl_redirect if notes.force_ssl_redirect is None else notes.force_ssl_redirect
        wanted = self.config.ssl_redirect if notes.ssl_redirect is None else notes.ssl_redirect
        return force or (wanted and host.tls is not None)

    def _upstream(self, backend: Backend, *, tls: bool) -> str | None:
        if not backend.endpoints:
            return None
        identity = stable_id("upstream", backend.namespace, backend.service, backend.port, "tls" if tls else "plain")
        self.upstreams[identity] = Upstream(identity, backend.endpoints)
        self.index[identity] = {"namespace": backend.namespace, "service": backend.service, "port": backend.port}
        return identity

    def _owner(self, ref: Ref) -> str:
        identity = stable_id("ingress", ref.namespace, ref.name)
        self.index[identity] = {"namespace": ref.namespace, "ingress": ref.name, "uid": ref.uid}
        return identity
