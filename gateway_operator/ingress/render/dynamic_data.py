"""The dynamic renderer's data: what a running nginx takes without a reload, as entries of its shared dict.

`h:<host>` has a host's routes and policies (for each alias too), `u:<id>` an upstream's endpoints and how they are
chosen, `c:<id>` a certificate with its key, `a:<id>` an authority for client certificates, `hc` the upstreams that are
probed. Values are JSON without what is empty, or PEM; lua/hosts.lua, endpoints.lua and certificates.lua read them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.ingress.plan import Certificate, Route, RouteSettings, Server, Upstream
from gateway_operator.ingress.policies import Affinity, Balancing, Canary, Ciphers, ClientAuth, HealthCheck
from gateway_operator.ingress.render.dynamic_places import Place, open_place, place_of
from gateway_operator.ingress.render.profiles import family, is_tls
from gateway_operator.ingress.render.values import address

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

_ENCODER = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class HostEntry:
    """A host's entry, the places of its routes by id (with an owner each), files that it needs, upstreams over TLS."""

    text: bytes
    places: Mapping[str, tuple[Place, str]]
    files: frozenset[str]
    tls_upstreams: frozenset[str]
    observed: bool  # a limit that counts requests until they end


def host_entry(server: Server, *, refuse_clients: bool = False) -> HostEntry:
    """Return the entry of a host, a function of nothing else; `refuse_clients` when certificates can't be judged."""
    places: dict[str, tuple[Place, str]] = {}
    tls: set[str] = set()
    routes = []
    for route in server.routes:
        place, opened = place_of(route), open_place(route)
        routes.append(_route(route, place, opened))
        for item in (place, opened):
            if item is not None:
                places.setdefault(item.id, (item, route.owner))
        if is_tls(route.profile):
            tls |= {item for item in (route.upstream, *(c.upstream for c in route.settings.canaries)) if item}
    entry = {
        "host": server.host,
        "cert": server.certificate,
        "hsts": server.tls,
        "ciphers": _ciphers(server.ciphers),
        "client": _client(server.client_auth, refuse=refuse_clients),
        "routes": routes,
    }
    files = {place.file for place, _ in places.values()}
    files |= {f"passwords/{route.settings.basic_auth.file}" for route in server.routes if route.settings.basic_auth}
    observed = any(route.settings.limits and route.settings.limits.connections for route in server.routes)
    return HostEntry(dump(entry), places, frozenset(files), frozenset(tls), observed)


def _ciphers(wanted: Ciphers | None) -> dict[str, Any] | None:
    if wanted is None:
        return None
    return {"names": wanted.names, "order": {None: None, True: "server", False: "client"}[wanted.prefer_own]}


def _client(auth: ClientAuth | None, *, refuse: bool) -> dict[str, Any] | None:
    if auth is None:
        return None
    return {
        "authority": auth.authority,
        "verify": auth.verify,
        "depth": auth.depth,
        "pass": auth.pass_certificate,
        "name": auth.common_name,
        "page": auth.error_page,
        "refuse": refuse,
    }


def _route(route: Route, place: Place, opened: Place | None) -> dict[str, Any]:
    labels = route.labels
    found: dict[str, Any] = {
        "path": route.path,
        "exact": route.exact,
        "regex": route.regex,
        "profile": place.id,
        "open": opened.id if opened else None,
        "upstream": route.upstream,
        "split": route.split,
        "status": None if route.upstream or route.split else route.status,
        "labels": [labels.namespace, labels.ingress, labels.service, labels.port],
        "tries": route.profile.next_upstream_tries,
        "grpc": family(route.profile) == "grpc",
        "auth": route.profile.external_auth is not None,
    }
    if place.errors:
        found |= {"error": route.settings.error_upstream, "codes": [str(c) for c in route.profile.intercept_errors]}
    found["jumps"] = place.errors or bool(route.profile.external_auth and route.profile.external_auth.signin)
    return found | (_settings(route.settings) if route.settings != RouteSettings() else {})


def _settings(s: RouteSettings) -> dict[str, Any]:
    timeouts = {"connect": s.connect_timeout, "send": s.send_timeout, "read": s.read_timeout}
    found: dict[str, Any] = {
        "tls": s.tls_redirect,
        "timeouts": {name: seconds(value) for name, value in timeouts.items() if value},
        "allow": s.allow,
        "deny": s.deny,
        "host": s.upstream_host,
        "prefix": s.forwarded_prefix,
        "headers": s.response_headers,
        "canaries": [_canary(item) for item in s.canaries if item.upstream],
        "rewrite": s.rewrite.target if s.rewrite else None,
    }
    if s.redirect:
        found["redirect"] = {"code": s.redirect.code, "url": s.redirect.url, "append": s.redirect.append_uri}
    if s.basic_auth:
        found["basic"] = {"file": s.basic_auth.file, "realm": s.basic_auth.realm}
    return found | _cors(s) | _limits(s)


def _cors(s: RouteSettings) -> dict[str, Any]:
    cors = s.cors
    if cors is None:
        return {}
    return {
        "cors": {
            "origins": cors.origins,
            "methods": cors.methods,
            "headers": cors.headers,
            "expose": cors.expose,
            "credentials": cors.credentials,
            "max_age": cors.max_age,
        }
    }


def _limits(s: RouteSettings) -> dict[str, Any]:
    limits = s.limits
    if limits is None:
        return {}
    return {
        "limits": {
            "rps": limits.rps,
            "rpm": limits.rpm,
            "connections": limits.connections,
            "burst": limits.burst_multiplier,
            "exempt": limits.exempt,
        }
    }


def _canary(canary: Canary) -> dict[str, Any]:
    return {
        "upstream": canary.upstream,
        "weight": canary.weight or None,
        "total": canary.total,
        "header": canary.header,
        "value": canary.header_value,
        "pattern": canary.header_pattern,
        "cookie": canary.cookie,
        "name": canary.upstream_name or None,
    }


def upstream_entry(upstream: Upstream, *, tls: bool) -> bytes:
    """Return the entry of an upstream; `tls` says that its health checks speak TLS."""
    balancing = upstream.balancing
    found: dict[str, Any] = {
        "endpoints": [_endpoint(item.address, item.port, item.weight) for item in upstream.endpoints]
    }
    if balancing != Balancing():
        found |= _balancing(balancing) | {"tls": tls and balancing.health_check is not None}
    return dump(found)


def _endpoint(host: str, port: int, weight: int) -> dict[str, Any]:
    name = str(address(host, port)).rpartition(":")[0]  # IPv6 in brackets, as nginx wants it
    return {"a": name, "p": port, "w": None if weight == 1 else weight}


def _balancing(balancing: Balancing) -> dict[str, Any]:
    return {
        "algorithm": balancing.algorithm if balancing.algorithm != "round_robin" else None,
        "hash_by": balancing.hash_by,
        "affinity": _affinity(balancing.affinity),
        "max_fails": balancing.max_fails or None,
        "fail_timeout": balancing.fail_timeout,
        "slow_start": balancing.slow_start or None,
        "health": _health(balancing.health_check),
    }


def _affinity(affinity: Affinity | None) -> dict[str, Any] | None:
    if affinity is None:
        return None
    return {
        "cookie": affinity.cookie,
        "persistent": affinity.persistent,
        "path": affinity.path,
        "domain": affinity.domain,
        "max_age": affinity.max_age,
        "expires": affinity.expires,
        "samesite": affinity.samesite,
        "conditional_none": affinity.conditional_samesite_none,
        "secure": {None: None, True: "yes", False: "no"}[affinity.secure],
        "change_on_failure": affinity.change_on_failure,
        "canary_sticky": affinity.canary_sticky,
    }


def _health(check: HealthCheck | None) -> dict[str, Any] | None:
    if check is None:
        return None
    return {
        "path": check.path,
        "host": check.host,
        "interval": check.interval,
        "timeout": check.timeout,
        "fails": check.fails,
        "passes": check.passes,
    }


def pair_entry(certificate: Certificate) -> bytes:
    """Return the entry of a certificate and its key: as they are."""
    return certificate.pem


def seconds(text: str) -> float:
    """Return a time in nginx's syntax in seconds."""
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdw])", text))


def dump(value: Any) -> bytes:
    """Return JSON of one form; what is None, False or empty is left out, since Lua takes it for nothing anyway."""
    return _ENCODER.encode(_pruned(value)).encode()


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        found = {}
        for key, item in value.items():
            if item is None or item is False:
                continue
            kept = _pruned(item) if isinstance(item, dict | list | tuple) else item
            if kept or not isinstance(kept, dict | list):
                found[key] = kept
        return found
    if isinstance(value, list | tuple):
        return [_pruned(item) for item in value]
    return value
