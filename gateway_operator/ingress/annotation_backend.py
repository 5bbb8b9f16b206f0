"""Annotations about the connection to a backend: its protocol and TLS, buffers, time-outs, tries, changed headers."""

from __future__ import annotations

from dataclasses import dataclass

from gateway_operator.crds.config_types import boolean, ciphers, duration, integer, size, words
from gateway_operator.crds.text_types import cookie_domain, cookie_path, redirect_text
from gateway_operator.ingress import annotation_readers as read
from gateway_operator.ingress.annotation_rows import BACKEND, HIGH, LOCATION, MEDIUM, OURS, note

_NEXT = [
    "error",
    "timeout",
    "invalid_header",
    "http_500",
    "http_502",
    "http_503",
    "http_504",
    "http_403",
    "http_404",
    "http_429",
    "non_idempotent",
    "off",
]
_BUFFER = size("1k", "16m")
_TIMEOUT = "seconds, or a time such as `500ms`"


@dataclass(frozen=True, slots=True)
class BackendNotes:
    """Values of the group; None where the Ingress says nothing."""

    backend_protocol: str | None = note(
        read.backend_protocol, LOCATION, "HTTP, HTTPS, GRPC, GRPCS; FCGI and AUTO_HTTP are refused and HTTP is spoken"
    )
    proxy_ssl_secret: read.Ref | None = note(
        read.reference,
        LOCATION,
        differs="of the Ingress's own namespace; holds for its own paths only (upstream: for the host)",
        closes=True,
        risk=MEDIUM,
    )
    proxy_ssl_verify: bool | None = note(
        read.on_off,
        LOCATION,
        differs="`on` needs a `ca.crt` in the Secret; without one the Ingress is told and nothing is verified",
    )
    proxy_ssl_verify_depth: int | None = note(integer(1, 100), LOCATION)
    proxy_ssl_name: str | None = note(
        read.host_name, LOCATION, "a name without variables; holds without a Secret too", risk=HIGH
    )
    proxy_ssl_server_name: bool | None = note(read.on_off, LOCATION, "holds without a Secret too")
    proxy_ssl_ciphers: str | None = note(ciphers, LOCATION, "holds without a Secret too", risk=MEDIUM)
    proxy_ssl_protocols: str | None = note(words(("TLSv1.2", "TLSv1.3")), LOCATION, "holds without a Secret too")
    service_upstream: bool | None = note(boolean, BACKEND)
    default_backend: str | None = note(read.service, LOCATION)
    custom_http_errors: tuple[int, ...] | None = note(
        read.error_codes, LOCATION, differs="answers of authentication are never replaced"
    )
    disable_proxy_intercept_errors: bool | None = note(boolean, LOCATION)
    proxy_body_size: str | None = note(size(high="1024g", giga=True), LOCATION, risk=MEDIUM)
    proxy_connect_timeout: str | None = note(duration, LOCATION, _TIMEOUT + "; without it 1 s, where upstream has 5")
    proxy_read_timeout: str | None = note(duration, LOCATION, _TIMEOUT)
    proxy_send_timeout: str | None = note(duration, LOCATION, _TIMEOUT)
    proxy_buffer_size: str | None = note(_BUFFER, LOCATION)
    proxy_buffers_number: int | None = note(
        integer(3, 1024), LOCATION, "at least 3: nginx refuses two with the busy buffers' default"
    )
    proxy_busy_buffers_size: str | None = note(
        _BUFFER, LOCATION, differs="must lie between one buffer and all but one of them, or it is left out"
    )
    proxy_max_temp_file_size: str | None = note(size("0", "1024m"), LOCATION)
    proxy_buffering: str | None = note(read.choice("on", "off"), LOCATION)
    proxy_request_buffering: str | None = note(read.choice("on", "off"), LOCATION)
    client_body_buffer_size: str | None = note(size("1k", "1024m"), LOCATION)
    proxy_http_version: str | None = note(read.choice("1.0", "1.1"), LOCATION)
    proxy_next_upstream: str | None = note(words(_NEXT), LOCATION, risk=MEDIUM)
    proxy_next_upstream_tries: int | None = note(integer(0, 100), LOCATION)
    proxy_next_upstream_timeout: str | None = note(duration, LOCATION)
    proxy_cookie_domain: tuple[str, str] | None = note(
        cookie_domain, LOCATION, "two plain domains; no regular expressions", risk=MEDIUM
    )
    proxy_cookie_path: tuple[str, str] | None = note(
        cookie_path, LOCATION, "two plain paths; no regular expressions", risk=MEDIUM
    )
    proxy_redirect_from: str | None = note(redirect_text, LOCATION, "no variables", risk=MEDIUM)
    proxy_redirect_to: str | None = note(redirect_text, LOCATION, "no variables", risk=MEDIUM)
    custom_headers: read.Ref | None = note(
        read.reference,
        LOCATION,
        "a ConfigMap of the Ingress's own namespace; only headers in `global-allowed-response-headers`, as upstream",
        risk=MEDIUM,
    )
    connection_proxy_header: str | None = note(read.choice("close", "keep-alive"), LOCATION)
    enable_access_log: bool | None = note(boolean, LOCATION)


@dataclass(frozen=True, slots=True)
class ExtraNotes:
    """Ours, under our own prefix: what upstream has no annotation for."""

    health_check_path: str | None = note(
        lambda text: text if text == "tcp" else read.app_root(text),
        BACKEND,
        prefix=OURS,
    )
    health_check_host: str | None = note(read.host_name, BACKEND, prefix=OURS)
    health_check_interval: float | None = note(read.seconds(1, 3600), BACKEND, "without it 10 s", prefix=OURS)
    slow_start: float | None = note(read.seconds(0, 3600), BACKEND, prefix=OURS)
    max_fails: int | None = note(integer(0, 1000), BACKEND, prefix=OURS)
    fail_timeout: float | None = note(read.seconds(0.1, 3600), BACKEND, prefix=OURS)
    response_headers: tuple[tuple[str, str], ...] | None = note(read.header_lines, LOCATION, prefix=OURS)
