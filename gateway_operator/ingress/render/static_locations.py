"""The locations of one host: which paths they match, and what stands in them.

A prefix is two locations, the path itself and what lies below it, so that /a never means /ab. In a host with regular
expressions, which must go before prefixes, prefixes are expressions too, behind the users' own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from gateway_operator.ingress.plan import Labels, Route, Server, Settings
from gateway_operator.ingress.render import static_auth, static_policies, static_splits
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.headers import (
    Header,
    answer_headers,
    client_certificate,
    hidden_headers,
    named_variables,
    request_headers,
)
from gateway_operator.ingress.render.profiles import CORS_HEADERS, family, is_tls, profile_lines
from gateway_operator.ingress.render.static_canary import target
from gateway_operator.ingress.render.static_shared import Shared
from gateway_operator.ingress.render.text import block, directive, word


def locations(shared: Shared, server: Server) -> Iterator[tuple[str, v.Typed]]:
    """Yield the locations of a host, each with the owner of its text."""
    inner = static_auth.Inner(server, set())
    bodies: dict[Route, list[v.Typed]] = {}
    for match, matching in matched(server):
        route = _effective(matching)
        if route not in bodies:
            bodies[route] = list(_body(shared, server, route))
            for location in (
                *_spare_location(shared, server, route),
                *static_auth.auth_locations(shared, inner, route),
                *static_auth.error_locations(shared, inner, route),
            ):
                yield route.owner, location
        yield route.owner, block("location", match, bodies[route])


def _effective(route: Route) -> Route:
    """Leave out what a route that answers by itself never gets to."""
    if (route.upstream or route.split) and route.settings.redirect is None:
        return route
    return replace(route, profile=replace(route.profile, external_auth=None))


def matched(server: Server) -> Iterator[tuple[list[v.Typed], Route]]:
    """Yield what each location matches, in the order that nginx needs."""
    return _with_expressions(server) if any(route.regex for route in server.routes) else _plain(server.routes)


def _plain(routes: Iterable[Route]) -> Iterator[tuple[list[v.Typed], Route]]:
    routes = tuple(routes)
    exact_paths = {route.path for route in routes if route.exact}
    taken = exact_paths | {route.path for route in routes}
    for route in routes:
        if route.exact:
            yield [word("="), v.quoted(route.path)], route
            bare = route.path.rstrip("/")
            if bare != route.path and bare and bare not in taken:  # or nginx redirects it to the one with the slash
                yield [word("="), v.quoted(bare)], _prefix_for(bare, routes)
        elif route.path == "/":
            yield [v.quoted("/")], route
        else:
            if route.path not in exact_paths:
                yield [word("="), v.quoted(route.path)], route
            yield [v.quoted(route.path + "/")], route


def _with_expressions(server: Server) -> Iterator[tuple[list[v.Typed], Route]]:
    exact = [route for route in server.routes if route.exact and not route.regex]
    prefixes = [route for route in server.routes if not route.exact and not route.regex]
    for route in exact:
        if route.path.endswith("/") and route.path != "/":  # as `=` it would redirect the path without the slash
            yield [word("~"), v.regex(f"^{v.exactly(route.path)}$")], route
        else:
            yield [word("="), v.quoted(route.path)], route
    for route in server.routes:
        if route.regex:
            yield [word("~*"), v.regex(f"^{route.path}")], route
    for route in sorted(prefixes, key=lambda item: -len(item.path)):
        if route.path == "/":
            yield [v.quoted("/")], route
        else:
            yield [word("~"), v.regex(f"^{v.exactly(route.path)}(/|$)")], route


def _prefix_for(path: str, routes: Iterable[Route]) -> Route:
    """Return the prefix route that a path belongs to; `/` is always there."""
    prefixes = [route for route in routes if not route.exact and (path + "/").startswith(route.path.rstrip("/") + "/")]
    return max(prefixes, key=lambda route: len(route.path))


def _body(shared: Shared, server: Server, route: Route) -> Iterator[v.Typed]:
    yield from _label_variables(shared.plan.settings, route)
    yield from static_policies.before(shared, server, route)
    yield from _answer_headers(shared, server, route)
    yield from static_auth.error_lines(route)
    chosen = static_splits.choose(shared, route) if route.split else None
    if (route.upstream is None and chosen is None) or route.settings.redirect is not None:
        if not route.profile.access_log:
            yield directive("access_log", word("off"))
        if route.settings.redirect is None:
            yield directive("return", v.integer(route.status))
        return
    where, sets = (chosen.target, list(chosen.lines)) if chosen else target(shared, route, server.host)
    yield from sets
    yield from static_policies.rewrite(route)
    if route.settings.limits:
        yield from static_policies.limits(shared, route.settings.limits)
    yield from static_policies.access(route)
    if route.profile.external_auth:
        yield from static_auth.auth_lines(route.profile.external_auth)
    if chosen:
        yield from static_splits.hand_over(route, chosen)
    yield from _forward(shared, server, route, where)


def _forward(shared: Shared, server: Server, route: Route, where: v.Typed) -> Iterator[v.Typed]:
    """Print what sends requests to a backend."""
    yield from profile_lines(shared.plan.settings, route.profile)
    yield from _timeouts(route)
    yield from _request_headers(shared, server, route)
    yield directive(f"{family(route.profile)}_pass", v.joined(word(f"{_scheme(route)}://"), where))


def _spare_location(shared: Shared, server: Server, route: Route) -> Iterator[v.Typed]:
    chosen = static_splits.choose(shared, route) if route.split and route.settings.redirect is None else None
    if chosen and chosen.spare:
        body = [*_answer_headers(shared, server, route), *_forward(shared, server, route, chosen.spare)]
        yield from static_splits.spare_location(shared, route, chosen, body)


def _scheme(route: Route) -> str:
    name = "grpc" if family(route.profile) == "grpc" else "http"
    return name + "s" if is_tls(route.profile) else name


def _timeouts(route: Route) -> Iterator[v.Typed]:
    s, prefix = route.settings, family(route.profile)
    for name, value in (("connect", s.connect_timeout), ("read", s.read_timeout), ("send", s.send_timeout)):
        if value is not None:
            yield directive(f"{prefix}_{name}_timeout", v.duration(value))


def _answer_headers(shared: Shared, server: Server, route: Route) -> list[v.Typed]:
    """Answers' headers where the route has some of its own; else the server's hold."""
    s, plan = route.settings, shared.plan
    own: list[Header] = [(name, v.literal(text)) for name, text in s.response_headers]
    if s.cors:
        own += static_policies.cors_headers(shared, s.cors)
    hidden = [name for name, _ in own if name != "Vary"]
    if route.split:
        chosen = static_splits.choose(shared, route)
        own += chosen.headers if chosen else static_splits.retry_after(shared, route)
    if route.profile.cors:
        hidden += [name for name in CORS_HEADERS if name not in hidden]
    upstream = shared.upstreams.get(route.upstream or "")
    affinity = upstream.balancing.affinity if upstream else None
    cookie = shared.new_cookie(affinity, "/" if route.regex else route.path) if affinity else None
    if cookie is not None:
        own.append(("Set-Cookie", cookie))
    strict, auth = plan.settings.hsts and server.tls, route.profile.external_auth
    given = [("Set-Cookie", word("$auth_cookie"))] if auth else []
    more, of_good = ([*own, *given], []) if auth and auth.always_set_cookie else (own, given)
    lines = answer_headers(plan.settings, strict=strict, more=more, of_good=of_good) if own or given else []
    return [*lines, *hidden_headers(plan.settings, prefix=family(route.profile), more=hidden)] if hidden else lines


def _request_headers(shared: Shared, server: Server, route: Route) -> list[v.Typed]:
    """Backends' headers where the route has some of its own; else those of the server or the http level hold."""
    s, profile = route.settings, route.profile
    extra: list[Header] = []
    if s.forwarded_prefix:
        extra.append(("X-Forwarded-Prefix", v.literal(s.forwarded_prefix)))
    if profile.connection_header and family(profile) == "proxy":
        extra.append(("Connection", v.literal(profile.connection_header)))
    if s.basic_auth:
        extra.append(("Authorization", v.literal("")))  # the password was for us
    if profile.external_auth:
        extra += static_auth.auth_request_headers(profile.external_auth)
    if not extra and not s.upstream_host and family(profile) == "proxy":
        return []
    host = v.literal(s.upstream_host) if s.upstream_host else None
    extra = [*client_certificate(server.client_auth), *extra]
    return request_headers(shared.plan.settings, prefix=family(profile), host=host, extra=extra)


def _label_variables(settings: Settings, route: Route) -> Iterator[v.Typed]:
    """Set only the variables that log format or headers name: each one costs every request."""
    values = _label_values(route.labels) | {"location_path": route.path}
    for name in sorted(named_variables(settings) & values.keys()):
        yield directive("set", v.Typed(f"${v.variable(name)}"), v.label(values[name]))


def _label_values(labels: Labels) -> dict[str, str]:
    return {
        "namespace": labels.namespace,
        "ingress_name": labels.ingress,
        "service_name": labels.service,
        "service_port": labels.port,
        "proxy_upstream_name": labels.upstream_name,
    }
