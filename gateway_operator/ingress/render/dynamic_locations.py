"""The text of a place: its location, the inner ones behind it, and the upstream blocks that they forward to.

Connections over TLS and to gRPC backends are kept in blocks of their own, so that none is used under other settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gateway_operator.ingress.plan import Settings
from gateway_operator.ingress.policies import ExternalAuth
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.dynamic_places import Place
from gateway_operator.ingress.render.headers import Header, answer_headers, hidden_headers, request_headers
from gateway_operator.ingress.render.profiles import CORS_HEADERS, family, is_tls, profile_lines
from gateway_operator.ingress.render.text import block, directive, word

ASKED = "$http_host"  # the router adds it where a client sent none
REQUEST_ID = "gw_request_id"  # made by our Lua (ids.lua), by nginx for requests that never get there
_HOST = word("$gw_backend_host")  # the Host that a backend gets
_NOTHING: list[Header] = [("Content-Length", v.literal("")), ("Upgrade", v.literal("")), ("Connection", v.literal(""))]
# what nginx would say of a request whose URI the router changed
_RENAMED = {
    "uri": "gw_path", "server_name": "gw_host", "escaped_request_uri": "gw_escaped", "request_id": REQUEST_ID,
}  # fmt: skip


def place_text(settings: Settings, place: Place) -> bytes:
    """Return the locations of a place."""
    return _text([block("location", [word("="), _name(place)], _body(settings, place)), *_inner(settings, place)])


def plain_location(settings: Settings) -> v.Typed:
    """Return the location where nginx goes by itself, for routes that ask for nothing special.

    It is what `PLAIN` says, with the client's own URI: no variable has to be evaluated to know where a request goes.
    """
    lines = [*_headers(settings), directive("proxy_pass", word("http://gw_plain"))]
    return block("location", [word("/")], lines)


def place_headers(settings: Settings) -> list[v.Typed]:
    """Return what backends are told unless a place says more."""
    return _headers(settings, host=_HOST)


def pool_text(settings: Settings, place: Place) -> bytes:
    """Return the upstream blocks that only this place uses."""
    profile, found = place.profile, []
    if _has_pool(place):
        per_host = profile.tls is not None and profile.tls.server_name and profile.tls.name is None
        found.append(_pool(settings, _pool_name(place), lua("balancer", "balance_once" if per_host else "balance")))
    if profile.external_auth:
        upstream = v.ident(f"u_{profile.external_auth.upstream}").text.removeprefix("u_")
        choice = lua("balancer", "fixed" if profile.external_auth.host else "fixed_once", f'"{upstream}"')
        found.append(_pool(settings, _auth_pool(place), choice))
    return _text(found)


def shared_pools(settings: Settings) -> list[v.Typed]:
    """Return the upstream blocks that all places share: plain HTTP, and the backends for errors."""
    by_variable = lua("balancer", "fixed", "ngx.var.gw_error_upstream")
    return [
        _pool(settings, "gw_plain", lua("balancer", "balance")),
        _pool(settings, "gw_errors", by_variable),
    ]


def lua(module: str, function: str, argument: str = "") -> v.Typed:
    """Return a call of one of our Lua functions; nothing of users ever gets into it."""
    if not re.fullmatch(r'[a-z_]+ [a-z_]+ ("[0-9a-f]+"|ngx\.var\.[a-z_]+)?', f"{module} {function} {argument}"):
        raise v.UnsafeValueError("not one of our calls")
    return v.Typed(f'require("{module}").{function}({argument})')


def lua_block(name: str, call: v.Typed) -> v.Typed:
    """Return a `..._by_lua_block` with one call."""
    return v.Typed(f"{word(name)}_by_lua_block {{ {call} }}")


def _headers(
    settings: Settings, *, prefix: str = "proxy", host: v.Typed | None = None, extra: Iterable[Header] = ()
) -> list[v.Typed]:
    return request_headers(settings, prefix=prefix, asked=ASKED, host=host, extra=extra)


def _text(blocks: list[v.Typed]) -> bytes:
    return "".join(f"{item}\n" for item in blocks).encode()


def _name(place: Place, *more: str) -> v.Typed:
    return word("/".join(["/.gw", place.id, *more]))


def _pool_name(place: Place) -> str:
    return f"gw_{place.id}" if _has_pool(place) else "gw_plain"


def _auth_pool(place: Place) -> str:
    return f"gw_auth_{place.id}"


def _has_pool(place: Place) -> bool:
    return place.profile.protocol != "http"


def _pool(settings: Settings, name: str, choice: v.Typed) -> v.Typed:
    """Return an upstream block; idle connections lie by address, so their number bounds memory, not the search."""
    idle = directive("balancer_keepalive", v.integer(settings.max_worker_connections // 2))
    lines = [directive("server", word("0.0.0.1")), lua_block("balancer", choice), idle]
    return block("upstream", [v.ident(name)], lines)


def _body(settings: Settings, place: Place) -> Iterator[v.Typed]:
    profile = place.profile
    prefix = family(profile)
    yield from profile_lines(settings, profile)
    if is_tls(profile) and profile.tls and profile.tls.server_name and not profile.tls.name:
        yield directive(f"{prefix}_ssl_name", word("$host"))
    hidden = [*place.hidden, *(CORS_HEADERS if profile.cors else ())]
    if hidden:
        yield from hidden_headers(settings, prefix=prefix, more=hidden)
    if profile.basic_auth:
        yield directive("auth_basic", word("$gw_realm"))
        yield directive("auth_basic_user_file", word("$gw_passwords"))
    if profile.external_auth:
        yield from _auth_lines(settings, place, profile.external_auth)
    yield from _request_headers(settings, place)
    yield from _errors(place)
    if prefix == "grpc":
        yield lua_block("rewrite", lua("router", "restore"))
        yield directive("grpc_pass", word(f"{'grpcs' if is_tls(profile) else 'grpc'}://{_pool_name(place)}"))
    else:
        yield directive("proxy_pass", word(f"{'https' if is_tls(profile) else 'http'}://{_pool_name(place)}$gw_target"))


def _request_headers(settings: Settings, place: Place) -> list[v.Typed]:
    """Backends' headers where the place has some of its own; else the http level's hold."""
    profile = place.profile
    extra: list[Header] = []
    if profile.connection_header and family(profile) == "proxy":
        extra.append(("Connection", v.literal(profile.connection_header)))
    if profile.basic_auth:
        extra.append(("Authorization", v.literal("")))  # the password was for us
    if profile.external_auth:
        extra += [(name, word(f"$gw_answer_{i}")) for i, name in enumerate(profile.external_auth.response_headers)]
    if not extra and family(profile) == "proxy":
        return []
    return _headers(settings, prefix=family(profile), host=_HOST, extra=extra)


def _errors(place: Place) -> Iterator[v.Typed]:
    profile = place.profile
    auth = profile.external_auth
    signin = auth is not None and bool(auth.signin)
    if signin:
        yield directive("error_page", v.integer(401), word("="), _name(place, "signin"))
    if place.errors:
        yield directive(f"{family(profile)}_intercept_errors", word("on"))
        for code in profile.intercept_errors:
            if not (signin and code == 401):  # noqa: PLR2004
                yield directive("error_page", v.integer(code), word("="), _name(place, str(code)))


def _inner(settings: Settings, place: Place) -> Iterator[v.Typed]:
    auth = place.profile.external_auth
    if auth is not None:
        yield block("location", [word("="), _name(place, "auth")], _auth_location(settings, place, auth))
        if auth.signin:
            yield block("location", [word("="), _name(place, "signin")], _signin_location(settings, auth))
    for code in place.profile.intercept_errors if place.errors else ():
        yield block("location", [word("="), _name(place, str(code))], _error_location(settings, code))


# --- another service decides


def _auth_lines(settings: Settings, place: Place, auth: ExternalAuth) -> Iterator[v.Typed]:
    yield directive("auth_request", _name(place, "auth"))
    yield directive("auth_request_set", word("$gw_auth_cookie $upstream_http_set_cookie"))
    for i, name in enumerate(auth.response_headers):
        yield directive(
            "auth_request_set", word(f"$gw_answer_{i}"), v.Typed(f"$upstream_{v.request_header(name).text[1:]}")
        )
    cookie = [("Set-Cookie", word("$gw_auth_cookie"))]
    more, of_good = (cookie, []) if auth.always_set_cookie else ([], cookie)
    yield from answer_headers(settings, strict=settings.hsts, more=more, of_good=of_good)


def _auth_location(settings: Settings, place: Place, auth: ExternalAuth) -> Iterator[v.Typed]:
    """The subrequest: no body, no interception of errors (or an error page could let a request pass)."""
    yield directive("internal")
    yield directive("access_log", word("off"))
    yield directive("proxy_intercept_errors", word("off"))
    yield directive("proxy_pass_request_body", word("off"))
    yield directive("client_max_body_size", v.integer(0))
    if auth.method:
        yield directive("proxy_method", v.words(auth.method))
    extra: list[Header] = [
        *_NOTHING,
        ("X-Forwarded-Proto", v.literal("")),
        ("X-Original-URI", word("$request_uri")),
        ("X-Original-URL", v.joined(word("$pass_access_scheme://$http_host$request_uri"))),
        ("X-Original-Method", word("$request_method")),
        ("X-Auth-Request-Redirect", _url(auth.request_redirect) if auth.request_redirect else word("$request_uri")),
        ("X-Sent-From", v.literal("nginx-ingress-controller")),
    ]
    yield from _headers(settings, host=v.literal(auth.host) if auth.host else None, extra=extra)
    if auth.tls:
        yield directive("proxy_ssl_server_name", word("on"))
        yield directive("proxy_ssl_name", v.literal(_without_port(auth.host)) if auth.host else word("$host"))
    scheme = word("https://" if auth.tls else "http://")
    yield directive("proxy_pass", v.joined(scheme, v.ident(_auth_pool(place)), _url(auth.uri)))


def _signin_location(settings: Settings, auth: ExternalAuth) -> Iterator[v.Typed]:
    yield from answer_headers(settings, strict=settings.hsts, more=[("Set-Cookie", word("$gw_auth_cookie"))])
    signin = auth.signin or ""
    parts = [_url(signin)]
    if auth.redirect_param and f"?{auth.redirect_param}=" not in signin and f"&{auth.redirect_param}=" not in signin:
        parts.append(v.literal(f"{'&' if '?' in signin else '?'}{auth.redirect_param}="))
        parts.append(word("$pass_access_scheme://$best_http_host$gw_escaped"))
    yield directive("return", v.integer(302), v.joined(*parts))


def _url(text: str) -> v.Typed:
    renamed = re.sub(r"\$\{(\w+)\}", lambda found: f"${{{_RENAMED.get(found[1], found[1])}}}", text)
    known = v.url(re.sub(r"\$\{gw_\w+\}", "", renamed))
    return v.with_variables(renamed) if renamed != text else known


def _without_port(host: str) -> str:
    return host if host.count(":") > 1 else host.partition(":")[0]


# --- another backend answers errors


def _error_location(settings: Settings, code: int) -> Iterator[v.Typed]:
    extra: list[Header] = [
        *_NOTHING,
        ("X-Code", v.integer(code)),
        ("X-Format", word("$http_accept")),
        ("X-Original-URI", word("$request_uri")),
        ("X-Namespace", word("$gw_namespace")),
        ("X-Ingress-Name", word("$gw_ingress")),
        ("X-Service-Name", word("$gw_service")),
        ("X-Service-Port", word("$gw_port")),
    ]
    yield directive("proxy_intercept_errors", word("off"))
    yield directive("proxy_method", word("GET"))
    yield directive("proxy_pass_request_body", word("off"))
    yield from _headers(settings, extra=extra)
    yield directive("proxy_pass", word("http://gw_errors/"))
