"""Locations that requests reach only from inside: authentication services, the way to a sign-in page, error pages.

Their names hold a `|`, which no path of users may hold, or are named locations, which no request can reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway_operator.ingress.plan import Route, Server, stable_id
from gateway_operator.ingress.policies import ExternalAuth
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.headers import Header, answer_headers, client_certificate, request_headers
from gateway_operator.ingress.render.profiles import family
from gateway_operator.ingress.render.static_shared import Shared
from gateway_operator.ingress.render.text import block, directive, entry, matches, when, word

_ESCAPED = "escaped_request_uri"
_ESCAPES = 16  # characters of a request's URI that are escaped; each costs a step, and more than that stay as they are


@dataclass
class Inner:
    """The inner locations that one host has so far, by name."""

    server: Server
    seen: set[str]

    def once(self, name: str) -> bool:
        """Tell whether a location is new, and remember it."""
        new = name not in self.seen
        self.seen.add(name)
        return new


def auth_lines(auth: ExternalAuth) -> Iterator[v.Typed]:
    """Yield the directives of a location whose requests another service decides about."""
    yield directive("auth_request", v.quoted(_auth_path(auth)))
    yield directive("auth_request_set", word("$auth_cookie $upstream_http_set_cookie"))
    for variable, source in _answers(auth).values():
        yield directive("auth_request_set", variable, source)


def auth_request_headers(auth: ExternalAuth) -> list[Header]:
    """Return the headers of the service's answer that the backend gets."""
    return [(name, variable) for name, (variable, _) in _answers(auth).items()]


def _answers(auth: ExternalAuth) -> dict[str, tuple[v.Typed, v.Typed]]:
    return {
        name: (
            word(f"$auth_answer_{stable_id('header', name.lower())}"),
            word(f"$upstream_http_{v.header(name).text.lower().replace('-', '_')}"),
        )
        for name in auth.response_headers
    }


def auth_locations(shared: Shared, inner: Inner, route: Route) -> Iterator[v.Typed]:
    """Yield the locations behind a route's authentication, those that its host doesn't have yet."""
    auth = route.profile.external_auth
    if auth is None:
        return
    path = _auth_path(auth)
    if inner.once(path):
        yield block("location", [word("="), v.quoted(path)], _auth_location(shared, inner.server, auth))
    if auth.signin and inner.once(_signin_name(auth)):
        yield block("location", [word(_signin_name(auth))], _signin_location(shared, inner.server, auth))


def _auth_location(shared: Shared, server: Server, auth: ExternalAuth) -> Iterator[v.Typed]:
    """The subrequest: no body, no interception of errors (or an error page could let a request pass)."""
    yield directive("internal")
    yield directive("access_log", word("off"))
    yield directive("proxy_intercept_errors", word("off"))
    yield directive("proxy_pass_request_body", word("off"))
    yield directive("client_max_body_size", v.integer(0))
    if auth.method:
        yield directive("proxy_method", v.words(auth.method))
    wanted = v.url(auth.request_redirect) if auth.request_redirect else word("$request_uri")
    extra: list[Header] = [
        ("Content-Length", v.literal("")),
        ("Upgrade", v.literal("")),
        ("Connection", v.literal("")),
        ("X-Forwarded-Proto", v.literal("")),
        ("X-Original-URI", word("$request_uri")),
        ("X-Original-URL", v.joined(word("$pass_access_scheme://$http_host$request_uri"))),
        ("X-Original-Method", word("$request_method")),
        ("X-Auth-Request-Redirect", wanted),
        ("X-Sent-From", v.literal("nginx-ingress-controller")),
        *client_certificate(server.client_auth),
    ]
    host = v.literal(auth.host) if auth.host else None
    yield from request_headers(shared.plan.settings, host=host, extra=extra)
    if auth.tls:
        yield directive("proxy_ssl_server_name", word("on"))
        yield directive("proxy_ssl_name", v.literal(_name_only(auth.host)) if auth.host else word("$host"))
    if _ESCAPED in auth.uri:
        yield from _escape(shared)
    pool = shared.pool(auth.upstream, repr(("auth", auth.tls, auth.host)))
    scheme = word("https://" if auth.tls else "http://")
    yield directive("proxy_pass", v.joined(scheme, pool, v.url(auth.uri)))


def _name_only(host: str) -> str:
    return host if host.count(":") > 1 else host.partition(":")[0]


def _signin_location(shared: Shared, server: Server, auth: ExternalAuth) -> Iterator[v.Typed]:
    strict = shared.plan.settings.hsts and server.tls
    yield from answer_headers(shared.plan.settings, strict=strict, more=[("Set-Cookie", word("$auth_cookie"))])
    yield from _escape(shared)
    signin = auth.signin or ""
    parts = [v.url(signin)]
    if auth.redirect_param and f"?{auth.redirect_param}=" not in signin and f"&{auth.redirect_param}=" not in signin:
        parts.append(v.literal(f"{'&' if '?' in signin else '?'}{auth.redirect_param}="))
        parts.append(word(f"$pass_access_scheme://$best_http_host${_ESCAPED}"))
    yield directive("return", v.integer(302), v.joined(*parts))


def _escape(shared: Shared) -> Iterator[v.Typed]:
    """Yield what puts the request's URI into a query: one step for each character that a query can't hold as it is.

    The groups have names because nginx escapes `$1` in a `set`, but only for some requests.
    """
    _share_codes(shared)
    rest, done = word("$escape_rest"), word(f"${_ESCAPED}")
    yield directive("set", rest, word("$request_uri"))
    yield directive("set", done, v.literal(""))
    pattern = v.regex("^(?<escape_head>[^%&+]*)(?<escape_char>[%&+])(?<escape_tail>.*)$")
    step = [
        directive("set", done, v.with_variables(f"${_ESCAPED}$escape_head$escape_code")),
        directive("set", rest, word("$escape_tail")),
    ]
    for _ in range(_ESCAPES):
        yield when(matches("$escape_rest", pattern), *step)
    yield directive("set", done, v.with_variables(f"${_ESCAPED}$escape_rest"))


def _share_codes(shared: Shared) -> None:
    """Print the map from a character to its escape; it has no regular expression, so it leaves groups alone."""
    codes = {"%": "%25", "&": "%26", "+": "%2B"}
    rows = [entry(v.quoted(char), v.quoted(code)) for char, code in codes.items()]
    lines = [directive("volatile"), entry(word("default"), v.literal("")), *rows]
    shared.once("escape", lambda: [block("map", [word("$escape_char $escape_code")], lines)])


def _auth_path(auth: ExternalAuth) -> str:
    return f"/|auth/{stable_id('auth', repr(auth))}"


def _signin_name(auth: ExternalAuth) -> str:
    return f"@signin_{stable_id('signin', repr((auth.signin, auth.redirect_param)))}"


def error_lines(route: Route) -> Iterator[v.Typed]:
    """Yield which statuses are answered by others: by the sign-in page, and by the backend for errors."""
    auth, error = route.profile.external_auth, route.settings.error_upstream
    codes = [code for code in route.profile.intercept_errors if error is not None]
    if auth is not None and auth.signin:
        yield directive("error_page", v.integer(401), word("="), word(_signin_name(auth)))
        codes = [code for code in codes if code != 401]  # noqa: PLR2004
    if codes:
        yield directive(f"{family(route.profile)}_intercept_errors", word("on"))
    for code in codes:
        yield directive("error_page", v.integer(code), word("="), word(_error_name(route, code)))


def error_locations(shared: Shared, inner: Inner, route: Route) -> Iterator[v.Typed]:
    """Yield the locations that answer errors, those that the host doesn't have yet."""
    if route.settings.error_upstream is None:
        return
    for code in route.profile.intercept_errors:
        name = _error_name(route, code)
        if inner.once(name):
            yield block("location", [word(name)], _error_location(shared, route, code))


def _error_name(route: Route, code: int) -> str:
    return f"@error_{code}_{stable_id('error', route.settings.error_upstream or '', repr(route.labels))}"


def _error_location(shared: Shared, route: Route, code: int) -> Iterator[v.Typed]:
    labels = route.labels
    extra: list[Header] = [
        ("Content-Length", v.literal("")),
        ("Upgrade", v.literal("")),
        ("Connection", v.literal("")),
        ("X-Code", v.integer(code)),
        ("X-Format", word("$http_accept")),
        ("X-Original-URI", word("$request_uri")),
        ("X-Namespace", v.label(labels.namespace)),
        ("X-Ingress-Name", v.label(labels.ingress)),
        ("X-Service-Name", v.label(labels.service)),
        ("X-Service-Port", v.label(labels.port)),
    ]
    yield directive("proxy_intercept_errors", word("off"))
    yield directive("proxy_method", word("GET"))
    yield directive("proxy_pass_request_body", word("off"))
    yield from request_headers(shared.plan.settings, extra=extra)
    yield directive("rewrite", v.regex("^"), v.rewrite_target("/"), word("break"))
    yield directive("proxy_pass", v.joined(word("http://"), shared.pool(route.settings.error_upstream or "")))
