"""Annotations that decide where a request goes before any backend is asked: rewrites, redirects, names, TLS."""

from __future__ import annotations

from dataclasses import dataclass

from gateway_operator.crds.config_types import boolean
from gateway_operator.ingress import annotation_readers as read
from gateway_operator.ingress.annotation_rows import HIGH, LOCATION, MEDIUM, SERVER, note

_CODE = read.choice("301", "302", "303", "307", "308")


def redirect_code(text: str) -> int:
    """Read a status that sends clients elsewhere."""
    return int(_CODE(text))


@dataclass(frozen=True, slots=True)
class RoutingNotes:
    """Values of the group; None where the Ingress says nothing."""

    rewrite_target: str | None = note(
        read.rewrite_target,
        LOCATION,
        differs="the Ingress's own Prefix and ImplementationSpecific paths become regular expressions, as upstream's; "
        "paths of other Ingresses of the host and Exact paths keep their meaning. No `?` in the target",
        risk=MEDIUM,
    )
    use_regex: bool | None = note(
        boolean,
        LOCATION,
        differs="only the Ingress's own paths become regular expressions (any case, from the start); upstream turns "
        "all paths of the host. Back references, named groups and repetitions that can match in two ways are refused",
    )
    app_root: str | None = note(
        read.app_root, LOCATION, differs="holds where the Ingress serves `/` of the host; no variables", risk=MEDIUM
    )
    permanent_redirect: str | None = note(
        read.redirect_url,
        LOCATION,
        "the only variable is `$request_uri` at the end",
        risk=MEDIUM,
    )
    permanent_redirect_code: int | None = note(
        redirect_code, LOCATION, "301, 302, 303, 307 or 308; another value is told and 301 holds"
    )
    temporal_redirect: str | None = note(
        read.redirect_url, LOCATION, "the only variable is `$request_uri` at the end", risk=MEDIUM
    )
    temporal_redirect_code: int | None = note(
        redirect_code, LOCATION, "301, 302, 303, 307 or 308; another value is told and 302 holds"
    )
    from_to_www_redirect: bool | None = note(boolean, SERVER)
    server_alias: tuple[str, ...] | None = note(
        read.hosts, SERVER, "names and `*.` wildcards; no regular expressions", risk=HIGH
    )
    x_forwarded_prefix: str | None = note(read.forwarded_prefix, LOCATION, "no `$1` in it", risk=MEDIUM)
    upstream_vhost: str | None = note(
        read.upstream_host, LOCATION, "variables: only `$service_name`, `$namespace`, `$service_port`, `$ingress_name`"
    )
    preserve_trailing_slash: bool | None = note(
        boolean, LOCATION, differs="redirects to TLS always keep the slash", risk=MEDIUM
    )
    ssl_redirect: bool | None = note(boolean, LOCATION)
    force_ssl_redirect: bool | None = note(boolean, LOCATION, risk=MEDIUM)
    ssl_ciphers: str | None = note(
        read.host_ciphers,
        SERVER,
        "up to TLS 1.2, as upstream's; names joined by colons, no commands such as `@SECLEVEL`",
    )
    ssl_prefer_server_ciphers: bool | None = note(boolean, SERVER)
    ssl_passthrough: bool | None = note(
        boolean, SERVER, "needs --enable-ssl-passthrough, as upstream; without it the Ingress is told and TLS ends here"
    )
