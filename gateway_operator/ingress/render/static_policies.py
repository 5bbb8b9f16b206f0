"""The policies of one route as directives of its location, in the static renderer.

nginx runs them by phase whatever their order in the text: redirects and preflight, limits, networks, passwords and
authentication, then the backend. Only directives of the first phase depend on their order.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway_operator.ingress.plan import Route, Server, stable_id
from gateway_operator.ingress.policies import Cors, Limits, Redirect
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.headers import Header, scheme_of
from gateway_operator.ingress.render.static_shared import Shared
from gateway_operator.ingress.render.text import block, differs, directive, entry, equals, when, word

_ZONE = "5m"


def before(shared: Shared, server: Server, route: Route) -> Iterator[v.Typed]:
    """Yield what answers without a backend, in the order that the plan promises."""
    s = route.settings
    if s.tls_redirect:
        code = v.integer(shared.plan.settings.http_redirect_code)
        there = directive("return", code, word("https://$host$request_uri"))
        yield when(equals(scheme_of(shared.plan.settings), word("http")), there)
    if s.redirect:
        yield _redirect(s.redirect)
        return
    if s.cors:
        yield when(_preflight(shared, s.cors), directive("return", word("204")))
    if server.client_auth and server.client_auth.common_name:
        subject = v.regex(server.client_auth.common_name)
        yield when(differs("$ssl_client_s_dn", subject), directive("return", word("403")))
    if s.limits:
        yield directive("set", word("$limit_id"), word(stable_id("limit", route.owner)))


def rewrite(route: Route) -> Iterator[v.Typed]:
    """Yield the change of the URI, the last thing of its phase."""
    if route.settings.rewrite is not None:
        pattern = route.path if route.regex else v.exactly(route.path)
        target = v.rewrite_target(route.settings.rewrite.target)
        yield directive("rewrite", v.regex(f"(?i)^{pattern}"), target, word("break"))


def _redirect(redirect: Redirect) -> v.Typed:
    tail = [word("$request_uri")] if redirect.append_uri else []
    if redirect.url.startswith("//"):
        head = [word("$pass_access_scheme:"), v.literal(redirect.url)]
    elif redirect.url.startswith("/"):
        head = [word("$pass_access_scheme://$best_http_host"), v.literal(redirect.url)]
    else:
        head = [v.literal(redirect.url)]
    return directive("return", v.integer(redirect.code), v.joined(*head, *tail))


def _preflight(shared: Shared, cors: Cors) -> v.Typed:
    if "*" in cors.origins:
        return equals("$request_method", word("OPTIONS"))
    origin = _origin(shared, cors)
    name = f"$preflight_{stable_id('preflight', str(origin))}"
    rows = [entry(word("default"), word("0")), entry(v.regex("^OPTIONS:.", prefix="~"), word("1"))]
    shared.once(name, lambda: [block("map", [v.joined(word("$request_method:"), origin), word(name)], rows)])
    return word(name)


def _origin(shared: Shared, cors: Cors) -> v.Typed:
    """Return the variable that has the request's origin where it is allowed."""
    name = word(f"$origin_{stable_id('origins', *cors.origins)}")
    rows = [entry(v.regex(origin_pattern(item), prefix="~*"), word("$http_origin")) for item in cors.origins]
    lines = [entry(word("default"), v.literal("")), *rows]
    shared.once(str(name), lambda: [block("map", [word("$http_origin"), name], lines)])
    return name


def origin_pattern(origin: str) -> str:
    """Return the regular expression of an origin; a `*` is one label, `:*` any port or none."""
    text, any_port = origin.removesuffix(":*"), origin.endswith(":*")
    pattern = v.exactly(text).replace(r"\*", "[A-Za-z0-9-]+", 1)
    return f"^{pattern}(?::[0-9]+)?$" if any_port else f"^{pattern}$"


def cors_headers(shared: Shared, cors: Cors) -> list[Header]:
    """Return the headers that tell browsers what other origins may do."""
    everybody = "*" in cors.origins
    headers = [("Access-Control-Allow-Origin", v.literal("*") if everybody else _origin(shared, cors))]
    if cors.credentials:
        headers.append(("Access-Control-Allow-Credentials", v.literal("true")))
    texts = {
        "Access-Control-Allow-Methods": ", ".join(cors.methods),
        "Access-Control-Allow-Headers": ", ".join(cors.headers),
        "Access-Control-Expose-Headers": ", ".join(cors.expose),
        "Access-Control-Max-Age": str(cors.max_age),
    }
    headers += [(name, v.literal(text)) for name, text in texts.items() if text]
    return headers if everybody else [*headers, ("Vary", v.literal("Origin"))]


def limits(shared: Shared, limits: Limits) -> Iterator[v.Typed]:
    """Yield rates and connection numbers; the zones' key has the Ingress in it, so one zone serves all of a rate."""
    for number, unit in ((limits.rps, "s"), (limits.rpm, "m")):
        if number:
            name = f"rate_{number}{unit}_{_exempt_id(limits)}"
            key = _limit_key(shared, limits)
            _zone(shared, "limit_req_zone", key, name, v.Typed(f"rate={v.integer(number)}r/{unit}"))
            burst = v.Typed(f"burst={v.integer(number * limits.burst_multiplier)}")
            yield directive("limit_req", word(f"zone={name}"), burst, word("nodelay"))
    if limits.connections:
        name = f"connections_{_exempt_id(limits)}"
        _zone(shared, "limit_conn_zone", _limit_key(shared, limits), name)
        yield directive("limit_conn", word(name), v.integer(limits.connections))


def _zone(shared: Shared, kind: str, key: v.Typed, name: str, *more: v.Typed) -> None:
    shared.once(f"zone {name}", lambda: [directive(kind, key, word(f"zone={name}:{_ZONE}"), *more)])


def _exempt_id(limits: Limits) -> str:
    return stable_id("exempt", *limits.exempt) if limits.exempt else "all"


def _limit_key(shared: Shared, limits: Limits) -> v.Typed:
    key = word("$binary_remote_addr$limit_id")
    if not limits.exempt:
        return key
    exempt, name = word(f"$exempt_{_exempt_id(limits)}"), word(f"$limited_{_exempt_id(limits)}")
    networks = [entry(v.network(item), word("1")) for item in limits.exempt]
    shared.once(
        str(name),
        lambda: [
            block("geo", [exempt], [entry(word("default"), word("0")), *networks]),
            block("map", [exempt, name], [entry(word("0"), key), entry(word("1"), v.literal(""))]),
        ],
    )
    return name


def access(route: Route) -> Iterator[v.Typed]:
    """Yield who may come in by address and by password."""
    s = route.settings
    yield from (directive("deny", v.network(item)) for item in s.deny)
    yield from (directive("allow", v.network(item)) for item in s.allow)
    if s.allow:
        yield directive("deny", word("all"))
    if s.basic_auth:
        yield directive("auth_basic", v.literal(s.basic_auth.realm))
        yield directive("auth_basic_user_file", v.file(f"passwords/{s.basic_auth.file}"))
