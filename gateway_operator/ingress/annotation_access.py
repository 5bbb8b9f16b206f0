"""Annotations about who may ask: passwords, authentication services, client certificates, CORS, networks, rates.

A wrong value of what shuts people out shuts the paths (503): to go on without it would let everybody in.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway_operator.crds.config_types import at_most, boolean, integer
from gateway_operator.crds.regex_types import regex
from gateway_operator.ingress import annotation_readers as read
from gateway_operator.ingress.annotation_rows import HIGH, LOCATION, MEDIUM, SERVER, note

_REDIRECT_PARAM = read.token


def subject(text: str) -> str:
    """Read a regular expression for the subject of a client certificate; it begins with `CN=`."""
    if not text.startswith("CN="):
        raise ValueError('must begin with "CN="')
    return regex(text)


@dataclass(frozen=True, slots=True)
class AuthNotes:
    """Values of the group; None where the Ingress says nothing."""

    auth_type: str | None = note(read.choice("basic"), LOCATION, "only `basic`; `digest` shuts the paths", closes=True)
    auth_secret: read.Ref | None = note(
        read.reference, LOCATION, "of the Ingress's own namespace; every line is checked", closes=True, risk=MEDIUM
    )
    auth_secret_type: str | None = note(read.choice("auth-file", "auth-map"), LOCATION, closes=True)
    auth_realm: str | None = note(read.realm, LOCATION, risk=MEDIUM)
    auth_url: read.AuthUrl | None = note(
        read.auth_url,
        LOCATION,
        differs="the host is a name, an address or `$host`, which means the same host's own paths; the "
        "controller resolves names, and loopback or link-local addresses are refused",
        closes=True,
        risk=HIGH,
    )
    auth_method: str | None = note(read.method, LOCATION, closes=True)
    auth_signin: str | None = note(read.url_text, LOCATION, "variables of a fixed list", risk=HIGH)
    auth_signin_redirect_param: str | None = note(_REDIRECT_PARAM, LOCATION, risk=MEDIUM)
    auth_response_headers: tuple[str, ...] | None = note(
        at_most(100, read.headers), LOCATION, "100 at most", closes=True, risk=MEDIUM
    )
    auth_request_redirect: str | None = note(read.url_text, LOCATION, risk=MEDIUM)
    auth_always_set_cookie: bool | None = note(boolean, LOCATION)
    enable_global_auth: bool | None = note(boolean, LOCATION)
    auth_tls_secret: read.Ref | None = note(
        read.reference, SERVER, "of the Ingress's own namespace", closes=True, risk=MEDIUM
    )
    auth_tls_verify_client: str | None = note(
        read.choice("on", "off", "optional", "optional_no_ca"), SERVER, closes=True, risk=MEDIUM
    )
    auth_tls_verify_depth: int | None = note(integer(1, 100), SERVER, closes=True)
    auth_tls_error_page: str | None = note(
        read.url_text, SERVER, "a URL or a path; no named location", closes=True, risk=HIGH
    )
    auth_tls_pass_certificate_to_upstream: bool | None = note(boolean, SERVER, closes=True)
    auth_tls_match_cn: str | None = note(
        subject, SERVER, "back references, named groups and ambiguous repetitions are refused", closes=True, risk=HIGH
    )
    satisfy: str | None = note(read.choice("any", "all"), LOCATION)


@dataclass(frozen=True, slots=True)
class CorsNotes:
    """Values of the group; None where the Ingress says nothing."""

    enable_cors: bool | None = note(boolean, LOCATION)
    cors_allow_origin: tuple[str, ...] | None = note(
        read.origins,
        LOCATION,
        differs="a wrong list switches CORS off; upstream skips the wrong ones",
        risk=MEDIUM,
        fallback=(),
    )
    cors_allow_methods: tuple[str, ...] | None = note(read.one_header(read.methods), LOCATION, risk=MEDIUM)
    cors_allow_headers: tuple[str, ...] | None = note(read.one_header(read.headers), LOCATION, risk=MEDIUM)
    cors_allow_credentials: bool | None = note(boolean, LOCATION)
    cors_expose_headers: tuple[str, ...] | None = note(read.one_header(read.headers), LOCATION, risk=MEDIUM)
    cors_max_age: int | None = note(integer(0, 10**9), LOCATION)


@dataclass(frozen=True, slots=True)
class LimitNotes:
    """Values of the group; None where the Ingress says nothing."""

    allowlist_source_range: tuple[str, ...] | None = note(
        read.non_empty(read.networks), LOCATION, closes=True, risk=MEDIUM, aliases=("whitelist-source-range",)
    )
    denylist_source_range: tuple[str, ...] | None = note(
        read.non_empty(read.networks), LOCATION, closes=True, risk=MEDIUM
    )
    limit_rps: int | None = note(read.limit, LOCATION)
    limit_rpm: int | None = note(read.limit, LOCATION)
    limit_connections: int | None = note(read.limit, LOCATION)
    limit_burst_multiplier: int | None = note(integer(1, 1000), LOCATION)
    limit_allowlist: tuple[str, ...] | None = note(read.networks, LOCATION, aliases=("limit-whitelist",))
    limit_rate: int | None = note(
        integer(0, 10**9), LOCATION, "KiB a second; works where `proxy-buffering` is on, as upstream's"
    )
    limit_rate_after: int | None = note(integer(0, 10**9), LOCATION, "KiB")
