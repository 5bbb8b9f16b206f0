"""Headers on their way: what backends are told about a request, and what answers get besides the backend's own.

nginx forgets an outer level's list as soon as an inner one has an entry of its own, so each function returns whole
lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from gateway_operator.crds.config_types import LOCATION_VARIABLES, NGINX_VARIABLES
from gateway_operator.ingress.plan import Settings
from gateway_operator.ingress.policies import ClientAuth
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.text import directive, word

HEADER_VARIABLES = NGINX_VARIABLES | LOCATION_VARIABLES
Header = tuple[str, v.Typed]
_MAX_GRPC_NAME = 40


def named_variables(settings: Settings) -> frozenset[str]:
    """Return the variables that the log format and headers of the ConfigMap name."""
    headers = (*settings.proxy_set_headers, *settings.add_headers)
    return _variables_in(settings.log_format_upstream, *(value for _, value in headers))


@lru_cache(maxsize=4)
def _variables_in(*texts: str) -> frozenset[str]:
    return frozenset(name for text in texts for name in re.findall(r"\$\{?(\w+)", text))


def request_headers(
    settings: Settings,
    *,
    prefix: str = "proxy",
    asked: str = "$this_host",
    host: v.Typed | None = None,
    extra: Iterable[Header] = (),
) -> list[v.Typed]:
    """Return all headers that a backend gets beside the client's; `extra` replaces those of the same name.

    `asked` is the variable that has the client's Host, `host` what the backend gets instead of it.
    """
    found: dict[str, Header] = {}
    for name, value in [*_standard(settings, prefix, host_of(settings, asked), host), *extra]:
        found[name.lower()] = (name, value)
    lines = [(name, value) for name, value in found.values() if _fits(prefix, name)]
    return [directive(f"{prefix}_set_header", v.header(name), value) for name, value in lines]


def _fits(prefix: str, name: str) -> bool:
    """Tell whether nginx takes a name: its table for gRPC has a fixed size, and one that is too long stops a start."""
    return prefix == "proxy" or len(name) <= _MAX_GRPC_NAME


# what nobody may forward is nginx's own: each of these maps would cost every request a look-up


def scheme_of(settings: Settings) -> str:
    """Name the variable that says by which scheme a client came."""
    return "$pass_access_scheme" if settings.use_forwarded_headers else "$scheme"


def host_of(settings: Settings, asked: str) -> v.Typed:
    """Return the variable that has the host that a client means."""
    return word("$best_http_host" if settings.use_forwarded_headers else asked)


def _standard(settings: Settings, prefix: str, own_host: v.Typed, host: v.Typed | None) -> list[Header]:
    trusting = settings.use_forwarded_headers
    scheme = word(scheme_of(settings))
    headers = [("Host", host or own_host)]
    if prefix == "proxy":  # HTTP/2 to a gRPC backend must not have them
        headers += [("Upgrade", word("$http_upgrade")), ("Connection", word("$connection_upgrade"))]
    headers += [
        ("X-Request-ID", word("$req_id")),
        ("X-Real-IP", word("$remote_addr")),
        ("X-Forwarded-For", word("$pass_forwarded_for" if trusting else "$remote_addr")),
        ("X-Forwarded-Host", own_host),
        ("X-Forwarded-Port", word("$pass_port")),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Scheme", scheme),
        ("X-Scheme", scheme),
        ("X-Original-Forwarded-For", v.request_header(settings.forwarded_for_header)),
        ("Proxy", v.literal("")),
    ]
    if settings.proxy_add_original_uri_header:
        headers.append(("X-Original-URI", word("$request_uri")))
    if settings.ssl_early_data:
        headers.append(("Early-Data", word("$ssl_early_data")))  # such a request may be a replay: RFC 8470
    headers += [(name, v.with_known_variables(text, HEADER_VARIABLES)) for name, text in settings.proxy_set_headers]
    return headers


def client_certificate(auth: ClientAuth | None) -> list[Header]:
    """Return what a backend learns of the client's certificate."""
    if auth is None:
        return []
    headers = [("ssl-client-cert", word("$ssl_client_escaped_cert"))] if auth.pass_certificate else []
    return [
        *headers,
        ("ssl-client-verify", word("$ssl_client_verify")),
        ("ssl-client-subject-dn", word("$ssl_client_s_dn")),
        ("ssl-client-issuer-dn", word("$ssl_client_i_dn")),
    ]


def hidden_headers(settings: Settings, *, prefix: str = "proxy", more: Sequence[str] = ()) -> list[v.Typed]:
    """Return which headers of backends don't reach clients; a header that we add ourselves is always among them."""
    names = {
        name.lower(): name for name in (*settings.hide_headers, *(name for name, _ in settings.add_headers), *more)
    }
    return [directive(f"{prefix}_hide_header", v.header(names[key])) for key in sorted(names) if _fits(prefix, key)]


def answer_headers(
    settings: Settings, *, strict: bool, more: Iterable[Header] = (), of_good: Iterable[Header] = ()
) -> list[v.Typed]:
    """Return the headers that answers get; `strict` adds Strict-Transport-Security, `more` the route's own.

    `of_good` are for answers that aren't errors. A value that is empty when the answer is made leaves its header out.
    """
    found: list[Header] = []
    if strict:
        found.append(("Strict-Transport-Security", word("$strict_transport_security")))
    found += [(name, v.literal(text)) for name, text in settings.add_headers]
    lines = [directive("add_header", v.header(name), value, word("always")) for name, value in (*found, *more)]
    return lines + [directive("add_header", v.header(name), value) for name, value in of_good]
