"""The static renderer: the whole plan as configuration text, for any nginx from 1.22 on. A change is a reload.

One file per host, so that a complaint of `nginx -t` leads to the host by the file's name and to the Ingress by the
line (`Rendered.owners`). All names inside are relative to the folder that nginx.conf lies in, so equal plans give
equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway_operator.ingress.plan import Plan, Server
from gateway_operator.ingress.policies import ClientAuth
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.common import (
    HTTP2_DIRECTIVE_SINCE,
    Rendered,
    http_context,
    print_template,
    version_file,
)
from gateway_operator.ingress.render.headers import answer_headers, client_certificate, request_headers
from gateway_operator.ingress.render.http_level import is_blocking
from gateway_operator.ingress.render.static_locations import locations
from gateway_operator.ingress.render.static_shared import Shared
from gateway_operator.ingress.render.static_unsupported import unsupported
from gateway_operator.ingress.render.stream import listen_addresses, stream_text
from gateway_operator.ingress.render.text import directive, when, word

__all__ = ["Rendered", "render", "unsupported", "version_file"]


def render(plan: Plan) -> Rendered:
    """Print the plan."""
    shared, files = Shared(plan), common_files(plan)
    owners: dict[str, tuple[tuple[int, str], ...]] = {}
    lent = any(not server.host and not _asks(server) for server in plan.servers)
    for server in plan.servers:
        name = f"servers/{server.id}.conf"
        files[name], owners[name] = _server(shared, server, lent=lent)
    files["upstreams.conf"] = shared.upstream_blocks()  # first: it may ask for maps
    files["shared.conf"] = shared.text()
    context = http_context(plan) | {"stream": bool(stream_text(plan)), "default_certificate": None}
    if shared.variables > plan.settings.variables_hash_max_size // 2:
        context["variables_hash_max"] = v.integer(1 << shared.variables.bit_length() + 1)
    files["nginx.conf"] = print_template("nginx.conf.j2", context)
    return Rendered(files, owners)


def common_files(plan: Plan) -> dict[str, bytes]:
    """Return what nginx itself reads by name: certificates, authorities, passwords and the stream block."""
    files = {f"certs/{item.id}.pem": item.pem for item in plan.certificates}
    files |= {f"ca/{item.id}.pem": item.pem for item in plan.authorities}
    files |= {f"passwords/{item.id}": item.lines for item in plan.password_files}
    stream = stream_text(plan)
    return files | ({"stream.conf": stream} if stream else {})


def _asks(server: Server) -> bool:
    """Tell whether a host wants a handshake of its own."""
    return bool(server.certificate or server.client_auth or server.ciphers)


def _server(shared: Shared, server: Server, *, lent: bool) -> tuple[bytes, tuple[tuple[int, str], ...]]:
    """Print one host; the second value says from which line on each owner's text stands.

    `lent` says that the handshakes of the server of all other names will do for hosts that want none of their own:
    nginx makes no TLS context for a server without a certificate, and contexts are most of what plain hosts cost.
    """
    borrows = lent and bool(server.host) and not _asks(server)
    certificate = None if borrows else server.certificate or shared.plan.default_certificate
    lines = (line for part in _head(shared.plan, server, certificate) for line in str(part).split("\n"))
    head = "".join(f"    {line}\n" for line in lines)
    pieces = [f"server {{\n{head}"]
    owners = [(1, server.tls_owner)]
    line = 1 + pieces[0].count("\n")
    for owner, location in locations(shared, server):
        text = "".join(f"    {part}\n" for part in str(location).split("\n"))
        owners.append((line, owner))
        pieces.append(text)
        line += text.count("\n")
    return "".join([*pieces, "}\n"]).encode(), tuple(owners)


def _head(plan: Plan, server: Server, certificate: str | None) -> Iterator[v.Typed]:
    s = plan.settings
    yield from listens(plan, default=not server.host)
    yield from tls_listens(plan, default=not server.host)
    names = [v.server_name(name) for name in (server.host, *server.aliases) if name]
    yield directive("server_name", *(names or [word("_")]))
    if certificate:
        pair = v.file(f"certs/{certificate}.pem")
        yield directive("ssl_certificate", pair)
        yield directive("ssl_certificate_key", pair)
    if server.ciphers and server.ciphers.names:
        yield directive("ssl_ciphers", v.ciphers(server.ciphers.names))
    if server.ciphers and server.ciphers.prefer_own is not None:
        yield directive("ssl_prefer_server_ciphers", v.switch(server.ciphers.prefer_own))
    if s.ssl_reject_handshake and not server.host:
        yield directive("ssl_reject_handshake", word("on"))
    if server.client_auth:
        yield from _client_auth(plan, server.client_auth)
        yield from request_headers(s, extra=client_certificate(server.client_auth))
    if s.hsts and server.tls:
        yield from answer_headers(s, strict=True)
    if is_blocking(s):
        yield when(word("$blocked"), directive("return", v.integer(403)))


def listens(plan: Plan, *, default: bool) -> Iterator[v.Typed]:
    """Where a server listens without TLS."""
    for address in listen_addresses(plan, plan.machine.http_port):
        yield directive("listen", address, *_proxied(plan), *_own(plan, default=default))


def tls_listens(plan: Plan, *, default: bool) -> Iterator[v.Typed]:
    """Where a server listens with TLS."""
    s, machine = plan.settings, plan.machine
    own, tls = _own(plan, default=default), [word("ssl")]
    if s.use_http2 and machine.nginx_version < HTTP2_DIRECTIVE_SINCE:
        tls.append(word("http2"))
    if plan.passthrough_enabled:
        yield directive(
            "listen", v.address("127.0.0.1", machine.inner_https_port), *tls, word("proxy_protocol"), *own[:1]
        )
    else:
        for address in listen_addresses(plan, machine.https_port):
            yield directive("listen", address, *tls, *_proxied(plan), *own)


def _proxied(plan: Plan) -> list[v.Typed]:
    return [word("proxy_protocol")] if plan.settings.use_proxy_protocol else []


def _own(plan: Plan, *, default: bool) -> list[v.Typed]:
    own = [word("default_server backlog=4096")] if default else []
    return own + ([word("reuseport")] if default and plan.settings.reuse_port else [])


def _client_auth(plan: Plan, auth: ClientAuth) -> Iterator[v.Typed]:
    authority = v.file(f"ca/{auth.authority}.pem")
    yield directive("ssl_client_certificate", authority)
    if any(b"X509 CRL" in item.pem for item in plan.authorities if item.id == auth.authority):
        yield directive("ssl_crl", authority)
    yield directive("ssl_verify_client", v.words(auth.verify))
    yield directive("ssl_verify_depth", v.integer(auth.depth))
    if auth.error_page:
        yield directive("error_page", word("495 496 ="), v.url(auth.error_page))
