"""The directives of a profile: what nginx takes from its configuration only, as text that both renderers print.

A profile speaks either the `proxy_` or the `grpc_` family of directives; the second lacks buffers, HTTP version,
cookies and redirects, which gRPC doesn't have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway_operator.ingress.plan import Settings
from gateway_operator.ingress.policies import Profile, UpstreamTls
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.text import directive, word

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
CORS_HEADERS = (
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Credentials",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
)


def family(profile: Profile) -> str:
    """Return the prefix of the directives that forward: proxy or grpc."""
    return "grpc" if profile.protocol.startswith("grpc") else "proxy"


def is_tls(profile: Profile) -> bool:
    """Tell whether the backend is spoken to over TLS."""
    return profile.protocol in {"https", "grpcs"}


def profile_lines(settings: Settings, profile: Profile) -> list[v.Typed]:
    """Return the directives of a location with this profile; what equals the gateway's setting is inherited.

    Headers, `proxy_pass`, authentication and errors aren't among them.
    """
    lines = [*_client(profile), *_trying(settings, profile)]
    if family(profile) == "proxy":
        lines += [*_buffering(settings, profile), *_answers(profile)]
    elif profile.buffer_size:
        lines.append(directive("grpc_buffer_size", v.size(profile.buffer_size)))
    if is_tls(profile):
        lines += tls_lines(family(profile), profile.tls or UpstreamTls())
    return lines


def _client(profile: Profile) -> Iterator[v.Typed]:
    if profile.body_size is not None:
        yield directive("client_max_body_size", v.size(profile.body_size))
    if profile.client_body_buffer_size is not None:
        yield directive("client_body_buffer_size", v.size(profile.client_body_buffer_size))
    if not profile.access_log:
        yield directive("access_log", word("off"))
    for name, rate in (("limit_rate", profile.limit_rate), ("limit_rate_after", profile.limit_rate_after)):
        if rate is not None:
            yield directive(name, v.size(f"{rate}k"))
    if profile.satisfy_any:
        yield directive("satisfy", word("any"))


def _trying(settings: Settings, profile: Profile) -> Iterator[v.Typed]:
    """When another endpoint is tried; nothing of it is inherited by gRPC, whose directives have other names."""
    name = f"{family(profile)}_next_upstream"
    inherits = family(profile) == "proxy"
    if profile.next_upstream is not None or not inherits:
        yield directive(name, v.words(profile.next_upstream or settings.proxy_next_upstream))
    if profile.next_upstream_timeout is not None or not inherits:
        timeout = profile.next_upstream_timeout or settings.proxy_next_upstream_timeout
        yield directive(f"{name}_timeout", v.duration(timeout))
    if profile.next_upstream_tries is not None or not inherits:
        tries = profile.next_upstream_tries
        yield directive(f"{name}_tries", v.integer(settings.proxy_next_upstream_tries if tries is None else tries))


def _buffering(settings: Settings, profile: Profile) -> Iterator[v.Typed]:
    size = profile.buffer_size or settings.proxy_buffer_size
    number = profile.buffers_number or settings.proxy_buffers_number
    if profile.buffer_size is not None:
        yield directive("proxy_buffer_size", v.size(size))
    if profile.buffer_size is not None or profile.buffers_number is not None:
        yield directive("proxy_buffers", v.integer(number), v.size(size))
    if profile.busy_buffers_size is not None:
        yield directive("proxy_busy_buffers_size", v.integer(busy_buffers(profile.busy_buffers_size, size, number)))
    if profile.max_temp_file_size is not None:
        yield directive("proxy_max_temp_file_size", v.size(profile.max_temp_file_size))
    if profile.buffering is not None:
        yield directive("proxy_buffering", v.words(profile.buffering))
    if profile.request_buffering is not None:
        yield directive("proxy_request_buffering", v.words(profile.request_buffering))
    if profile.http_version is not None:
        yield directive("proxy_http_version", v.words(profile.http_version))


def busy_buffers(wanted: str, size: str, number: int) -> int:
    """Bring a size between one buffer and all but one of them, or nginx refuses the configuration."""
    one = size_in_bytes(size)
    return max(one, min(size_in_bytes(wanted), one * (number - 1)))


def _answers(profile: Profile) -> Iterator[v.Typed]:
    changes = {
        "proxy_cookie_domain": profile.cookie_domain,
        "proxy_cookie_path": profile.cookie_path,
        "proxy_redirect": profile.redirect,
    }
    for name, change in changes.items():
        if change is not None and change[1]:
            yield directive(name, *map(v.plain, change))
        elif change is not None:
            yield directive(name, word("off"))  # `default` too: backends never tell our own upstreams' names


def tls_lines(prefix: str, tls: UpstreamTls) -> list[v.Typed]:
    """Return the directives for TLS to a backend; `prefix` is proxy or grpc."""
    lines = []
    if tls.pair:
        pair = v.file(f"certs/{tls.pair}.pem")
        lines += [directive(f"{prefix}_ssl_certificate", pair), directive(f"{prefix}_ssl_certificate_key", pair)]
    if tls.authority:
        lines.append(directive(f"{prefix}_ssl_trusted_certificate", v.file(f"ca/{tls.authority}.pem")))
    if tls.verify and tls.authority:
        lines.append(directive(f"{prefix}_ssl_verify", word("on")))
        lines.append(directive(f"{prefix}_ssl_verify_depth", v.integer(tls.verify_depth)))
    if tls.name:
        lines.append(directive(f"{prefix}_ssl_name", v.literal(tls.name)))
    if tls.server_name:
        lines.append(directive(f"{prefix}_ssl_server_name", word("on")))
    if tls.ciphers:
        lines.append(directive(f"{prefix}_ssl_ciphers", v.ciphers(tls.ciphers)))
    if tls.protocols:
        lines.append(directive(f"{prefix}_ssl_protocols", v.words(tls.protocols)))
    return lines


def size_in_bytes(text: str) -> int:
    """Return what a size in nginx's syntax means."""
    number, unit = re.fullmatch(r"(\d+)([kmg]?)", text).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]
