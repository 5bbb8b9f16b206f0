"""The keys of an nginx ConfigMap (`spec.controller.config`): types, defaults, and what our controller honours.

One table, because two sides need the same answer: the operator refuses a Gateway whose value nginx would refuse, and
the ingress controller reads the ConfigMap. `parse_config` never raises: a bad value gives a problem and leaves the key
at its default.
"""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.crds.config_types import (
    Reader,
    at_most,
    boolean,
    buffers,
    cidr,
    ciphers,
    duration,
    error_code,
    has_control_characters,
    integer,
    ip_address,
    list_of,
    log_format,
    one_of,
    pattern,
    size,
    words,
)
from gateway_operator.crds.text_types import blocked, cookie_domain, cookie_path, redirect_text

DEFAULT_LOG_FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" '
    "$request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr "
    "$upstream_response_length $upstream_response_time $upstream_status $req_id"
)
DEFAULT_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
MAX_VALUE_LENGTH = 8192


@dataclass(frozen=True)
class ConfigKey:
    """One key: how its value is read, what holds without it, and whether our controller acts on it."""

    name: str
    read: Reader
    default: Any
    honoured: bool


@dataclass(frozen=True)
class ConfigProblem:
    """What is wrong with one key; fatal when nginx would refuse the value or the key is never offered."""

    key: str
    value: str
    message: str
    fatal: bool


_HEADER = pattern(r"[A-Za-z0-9_-]{1,128}", "a header name: letters, digits, - and _")
_PATH = pattern(r"/[A-Za-z0-9._~%/-]{0,1023}", "URL paths that start with /, separated by commas")
_NAMESPACE = pattern(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "names of namespaces, separated by commas")
_CONFIGMAP = pattern(r"[a-z0-9.-]{1,253}(/[a-z0-9.-]{1,253})?", 'the name of a ConfigMap, "namespace/name"', empty=True)
_LOG_FILE = pattern(
    r"/dev/std(out|err)|/(var/log/nginx|tmp)/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}",
    "/dev/stdout, /dev/stderr or a file in /var/log/nginx or /tmp",
)
_MIME = pattern(r"\*|[a-z]+/[A-Za-z0-9.+*-]+", "MIME types, separated by spaces")
_NEXT = [
    "error",
    "timeout",
    "denied",
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
_METHOD = pattern("GET|HEAD|POST|PUT|PATCH|DELETE|CONNECT|OPTIONS|TRACE", "an HTTP method", empty=True)
_URL = pattern(r"https?://[A-Za-z0-9.:$_\[\]-]+(/[A-Za-z0-9._~%/?=&:$+,;@-]*)?", "a URL with http or https", empty=True)
_CURVES = {"X25519": "X25519", "X448": "X448", "prime256v1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_WORKERS = pattern(r"auto|[1-9]\d?|[1-4]\d\d|50\d|51[0-2]", '"auto" or a number from 1 to 512')
_AFFINITY = pattern(r"auto( [01]{1,64})?|[01]{1,64}( [01]{1,64})*", '"auto" or masks of 0 and 1', empty=True)
_MIME_DEFAULT = (
    "application/atom+xml application/javascript application/json application/ld+json application/manifest+json "
    "application/rss+xml "
    "application/vnd.ms-fontobject application/wasm application/x-font-ttf application/x-javascript "
    "application/xhtml+xml "
    "application/xml font/opentype image/svg+xml image/x-icon text/css text/javascript text/plain text/x-component"
)


def _curves(text: str) -> str:
    """Read curves by either of their names, each once: OpenSSL takes none twice."""
    found = [_CURVES.get(name, name) for name in text.split(":")]
    if text != "auto" and (not set(found) <= set(_CURVES.values()) or len(set(found)) < len(found)):
        raise ValueError(f"must be auto, or some of {', '.join(_CURVES)}, each once, joined by colons")
    return text


# name -> (reader, default, honoured by our controller)
_TABLE: dict[str, tuple[Reader, Any, bool]] = {
    # forwarding
    "use-forwarded-headers": (boolean, False, True),
    "compute-full-forwarded-for": (boolean, False, True),
    "forwarded-for-header": (_HEADER, "X-Forwarded-For", True),
    "proxy-real-ip-cidr": (list_of(cidr), ("0.0.0.0/0",), True),
    "enable-real-ip": (boolean, False, True),
    "use-proxy-protocol": (boolean, False, True),
    "proxy-protocol-header-timeout": (duration, "5s", False),
    # proxy
    "proxy-body-size": (size(high="1024g", giga=True), "1m", True),
    "proxy-connect-timeout": (duration, "5s", True),
    "proxy-read-timeout": (duration, "60s", True),
    "proxy-send-timeout": (duration, "60s", True),
    "proxy-buffer-size": (size("1k", "16m"), "4k", True),
    "proxy-buffers-number": (
        integer(3, 1024),
        4,
        True,
    ),  # nginx refuses fewer: busy buffers (two) need one more than they fill
    "proxy-busy-buffers-size": (size("1k", "16m"), None, True),
    "proxy-buffering": (one_of("on", "off"), "off", True),
    "proxy-request-buffering": (one_of("on", "off"), "on", True),
    "proxy-max-temp-file-size": (size("0", "1024m"), "1024m", True),
    "proxy-http-version": (one_of("1.0", "1.1"), "1.1", True),
    "proxy-next-upstream": (words(_NEXT), "error timeout", True),
    "proxy-next-upstream-timeout": (duration, "0s", True),
    "proxy-next-upstream-tries": (integer(0, 100), 3, True),
    "retry-non-idempotent": (boolean, False, True),
    "proxy-cookie-domain": (cookie_domain, None, True),
    "proxy-cookie-path": (cookie_path, None, True),
    "proxy-redirect-from": (redirect_text, "off", True),
    "proxy-redirect-to": (redirect_text, "off", True),
    "proxy-add-original-uri-header": (boolean, False, True),
    "custom-http-errors": (list_of(error_code), (), True),
    "disable-proxy-intercept-errors": (boolean, False, True),
    "load-balance": (one_of("round_robin", "ewma", "least_conn"), "round_robin", True),
    "add-headers": (_CONFIGMAP, "", True),
    "proxy-set-headers": (_CONFIGMAP, "", True),
    "hide-headers": (list_of(_HEADER), (), True),
    "custom-headers": (_CONFIGMAP, "", False),
    "allow-backend-server-header": (boolean, False, True),
    "generate-request-id": (boolean, True, True),
    # client
    "client-header-buffer-size": (size("1k", "1m"), "1k", True),
    "client-header-timeout": (duration, "60s", True),
    "client-body-buffer-size": (size("1k", "1024m"), "8k", True),
    "client-body-timeout": (duration, "60s", True),
    "large-client-header-buffers": (buffers, "4 8k", True),
    "keep-alive": (duration, "75s", True),
    "keep-alive-requests": (integer(1, 10**9), 1000, True),
    "use-http2": (boolean, True, True),
    "http2-max-concurrent-streams": (integer(1, 10**6), 128, True),
    "ignore-invalid-headers": (boolean, True, True),
    "enable-underscores-in-headers": (boolean, False, True),
    "use-gzip": (boolean, False, True),
    "gzip-level": (integer(1, 9), 1, True),
    "gzip-min-length": (integer(0, 10**9), 256, True),
    "gzip-types": (list_of(_MIME, " "), tuple(_MIME_DEFAULT.split()), True),
    "enable-brotli": (boolean, False, False),
    "brotli-level": (integer(0, 11), 4, False),
    "brotli-min-length": (integer(0, 10**9), 20, False),
    "brotli-types": (list_of(_MIME, " "), tuple(_MIME_DEFAULT.split()), False),
    "limit-rate": (integer(0, 10**12), 0, True),
    "limit-rate-after": (integer(0, 10**12), 0, True),
    # upstream keepalive
    "upstream-keepalive-connections": (integer(0, 65535), 320, True),
    "upstream-keepalive-timeout": (duration, "60s", True),
    "upstream-keepalive-requests": (integer(1, 10**9), 10000, True),
    "upstream-keepalive-time": (duration, "1h", True),
    # process
    "worker-processes": (_WORKERS, "auto", True),
    "worker-cpu-affinity": (_AFFINITY, "", True),
    "max-worker-connections": (integer(64, 1048576), 16384, True),
    "max-worker-open-files": (integer(0, 10**7), 0, True),
    "worker-shutdown-timeout": (duration, "240s", True),
    "enable-multi-accept": (boolean, True, True),
    "enable-serial-reloads": (boolean, False, True),
    "reuse-port": (boolean, True, True),
    "bind-address": (list_of(ip_address), (), True),
    "disable-ipv6": (boolean, False, True),
    "disable-ipv6-dns": (boolean, False, False),
    "server-name-hash-max-size": (integer(512, 10**6), 1024, True),
    "server-name-hash-bucket-size": (integer(32, 4096), 128, True),
    "map-hash-bucket-size": (integer(32, 4096), 64, True),
    "proxy-headers-hash-max-size": (integer(512, 10**6), 512, True),
    "proxy-headers-hash-bucket-size": (integer(32, 4096), 64, True),
    "variables-hash-max-size": (integer(512, 10**6), 2048, True),
    "variables-hash-bucket-size": (integer(32, 4096), 256, True),
    # TLS
    "ssl-protocols": (words(("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")), "TLSv1.2 TLSv1.3", True),
    "ssl-ciphers": (ciphers, DEFAULT_CIPHERS, True),
    "ssl-ecdh-curve": (_curves, "auto", True),
    "ssl-buffer-size": (size("1k", "16k"), "4k", True),
    "ssl-dh-param": (_CONFIGMAP, "", False),
    "ssl-session-cache": (boolean, True, True),
    "ssl-session-cache-size": (size("1m", "1g"), "10m", True),
    "ssl-session-tickets": (boolean, False, True),
    "ssl-session-timeout": (duration, "10m", True),
    "ssl-early-data": (boolean, False, True),
    "ssl-redirect": (boolean, True, True),
    "force-ssl-redirect": (boolean, False, True),
    "http-redirect-code": (lambda text: int(one_of("301", "302", "307", "308")(text)), 308, True),
    "hsts": (boolean, True, True),
    "hsts-max-age": (integer(0, 10**10), 31536000, True),
    "hsts-include-subdomains": (boolean, True, True),
    "hsts-preload": (boolean, False, True),
    "ssl-reject-handshake": (boolean, False, True),
    "no-tls-redirect-locations": (list_of(_PATH), ("/.well-known/acme-challenge",), True),
    "enable-ocsp": (boolean, False, False),
    # logs
    "log-format-upstream": (log_format, DEFAULT_LOG_FORMAT, True),
    "log-format-escape-json": (boolean, False, True),
    "log-format-escape-none": (boolean, False, True),
    "access-log-path": (_LOG_FILE, "/var/log/nginx/access.log", True),
    "http-access-log-path": (_LOG_FILE, "", True),
    "error-log-path": (_LOG_FILE, "/var/log/nginx/error.log", True),
    "error-log-level": (one_of("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"), "notice", True),
    "disable-access-log": (boolean, False, True),
    "disable-http-access-log": (boolean, False, True),
    "skip-access-log-urls": (list_of(_PATH), (), True),
    "server-tokens": (boolean, False, True),
    # safety
    "allow-snippet-annotations": (boolean, False, False),
    "annotations-risk-level": (one_of("Low", "Medium", "High", "Critical"), "High", True),
    "annotation-value-word-blocklist": (list_of(pattern(r"[^;]{1,256}", "words, separated by commas")), (), True),
    "strict-validate-path-type": (boolean, True, True),
    "allow-cross-namespace-resources": (boolean, False, False),
    "limit-req-status-code": (integer(400, 599), 503, True),
    "limit-conn-status-code": (integer(400, 599), 503, True),
    "block-cidrs": (list_of(cidr), (), True),
    "block-user-agents": (list_of(blocked), (), True),
    "block-referers": (list_of(blocked), (), True),
    "whitelist-source-range": (list_of(cidr), (), True),
    "denylist-source-range": (list_of(cidr), (), True),
    "global-auth-url": (_URL, "", True),
    "global-auth-method": (_METHOD, "", True),
    "global-auth-signin": (_URL, "", True),
    "global-auth-signin-redirect-param": (pattern(r"[A-Za-z0-9_.-]{1,64}", "a name", empty=True), "", True),
    "global-auth-response-headers": (at_most(100, list_of(_HEADER)), (), True),
    "global-auth-request-redirect": (_URL, "", True),
    "global-auth-always-set-cookie": (boolean, False, True),
    "no-auth-locations": (list_of(_PATH), ("/.well-known/acme-challenge",), True),
    "use-http3": (boolean, False, False),
    "enable-modsecurity": (boolean, False, False),
    "enable-opentelemetry": (boolean, False, False),
    "global-allowed-response-headers": (list_of(_HEADER), (), True),
    # ours
    "upstream-max-fails": (integer(0, 1000), 0, True),
    "upstream-fail-timeout": (duration, "10s", True),
    "status-excluded-namespaces": (list_of(_NAMESPACE), (), True),
}

KEYS: Mapping[str, ConfigKey] = types.MappingProxyType({name: ConfigKey(name, *row) for name, row in _TABLE.items()})
DEFAULTS: Mapping[str, Any] = types.MappingProxyType({key.name: key.default for key in KEYS.values()})
SNIPPET_KEYS = frozenset(
    {"main-snippet", "http-snippet", "server-snippet", "location-snippet", "stream-snippet", "global-auth-snippet"}
)


def parse_config(data: Mapping[str, str]) -> tuple[dict[str, Any], list[ConfigProblem]]:
    """Return the typed value of every known key, its default where it is absent or bad, and what is wrong."""
    values = dict(DEFAULTS)
    problems: list[ConfigProblem] = []
    for name in sorted(data):
        text = str(data[name]).strip()
        problem = _check_key(name, text, values) if name in KEYS else _check_unknown(name, text)
        if problem is not None:
            problems.append(problem)
    return values, problems


def _check_key(name: str, text: str, values: dict[str, Any]) -> ConfigProblem | None:
    """Read the value of a known key into `values`, or say what is wrong with it."""
    try:
        values[name] = _read(KEYS[name], text)
    except ValueError as error:
        return ConfigProblem(name, text[:100], f"{name}: {error}", fatal=True)
    return _check_honoured(name, text, values[name])


def _read(key: ConfigKey, text: str) -> Any:
    if len(text) > MAX_VALUE_LENGTH:
        raise ValueError(f"must not be longer than {MAX_VALUE_LENGTH} characters")
    if has_control_characters(text):
        raise ValueError("must not contain newlines or other control characters")
    if not text and key.default in ("", (), None):
        return key.default
    return key.read(text)


def _check_unknown(name: str, text: str) -> ConfigProblem | None:
    if name in SNIPPET_KEYS:
        message = f"{name}: configuration snippets are never offered; use the typed keys and annotations"
        return ConfigProblem(name, text[:100], message, fatal=True) if text else None
    return ConfigProblem(name, text[:100], f"{name}: no such key is known; it is kept and has no effect", fatal=False)


def _check_honoured(name: str, text: str, value: Any) -> ConfigProblem | None:
    if name == "allow-snippet-annotations" and value:
        return ConfigProblem(
            name, text, f"{name}: snippets are never offered; snippet annotations are ignored", fatal=False
        )
    if KEYS[name].honoured or value == KEYS[name].default:
        return None
    return ConfigProblem(
        name,
        text[:100],
        f"{name}: the key is known but not honoured yet; it has no effect with the gateway's own image",
        fatal=False,
    )
