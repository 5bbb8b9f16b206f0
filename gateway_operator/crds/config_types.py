"""Typed readers for the values of an nginx ConfigMap: text in, a value that nginx is sure to take out.

They exist because one bad value in the ConfigMap stops every reload of a gateway. A reader raises ValueError with a
sentence that says what is allowed; nothing that it returns can end a directive, open a block or name a file that a
user chose.
"""

import ipaddress
import re
import ssl
from collections.abc import Callable, Iterable
from typing import Any

Reader = Callable[[str], Any]

_TIME_UNITS = (("w", 604800.0), ("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001))
_TIME = re.compile(
    "".join(
        rf"(?:(?P<{unit}>\d{{1,9}}){unit}(?!s) ?)?" if unit == "m" else rf"(?:(?P<{unit}>\d{{1,9}}){unit} ?)?"
        for unit, _ in _TIME_UNITS
    )
)
_SIZE = re.compile(r"(\d{1,12})([kKmMgG]?)")
_SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LOG_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))?", re.ASCII)
MAX_DURATION_SECONDS = 365 * 86400
MAX_BUFFERS = 1024
MIN_BUFFER, MAX_BUFFER = 1 << 10, 1 << 20

# What a log format may print: nginx's own variables, and those that the generated configuration sets for each location.
LOG_PREFIXES = (
    "arg_",
    "cookie_",
    "http_",
    "sent_http_",
    "sent_trailer_",
    "upstream_cookie_",
    "upstream_http_",
    "upstream_trailer_",
)
LOCATION_VARIABLES = frozenset(
    [
        "namespace",
        "ingress_name",
        "service_name",
        "service_port",
        "location_path",
        "proxy_upstream_name",
        "proxy_alternative_upstream_name",
        "req_id",
        "best_http_host",
        "pass_access_scheme",
        "pass_port",
        "pass_server_port",
        "the_real_ip",
        "gateway_cluster",
    ]
)
NGINX_VARIABLES = frozenset(
    [
        "args",
        "binary_remote_addr",
        "body_bytes_sent",
        "bytes_sent",
        "connection",
        "connection_requests",
        "connection_time",
        "content_length",
        "content_type",
        "document_uri",
        "host",
        "hostname",
        "https",
        "is_args",
        "limit_rate",
        "msec",
        "nginx_version",
        "pid",
        "pipe",
        "proxy_protocol_addr",
        "proxy_protocol_port",
        "proxy_protocol_server_addr",
        "proxy_protocol_server_port",
        "query_string",
        "remote_addr",
        "remote_port",
        "remote_user",
        "request",
        "request_body",
        "request_completion",
        "request_id",
        "request_length",
        "request_method",
        "request_time",
        "request_uri",
        "scheme",
        "server_addr",
        "server_name",
        "server_port",
        "server_protocol",
        "ssl_alpn_protocol",
        "ssl_cipher",
        "ssl_ciphers",
        "ssl_client_fingerprint",
        "ssl_client_i_dn",
        "ssl_client_s_dn",
        "ssl_client_serial",
        "ssl_client_v_end",
        "ssl_client_v_remain",
        "ssl_client_v_start",
        "ssl_client_verify",
        "ssl_curve",
        "ssl_curves",
        "ssl_early_data",
        "ssl_protocol",
        "ssl_server_name",
        "ssl_session_id",
        "ssl_session_reused",
        "status",
        "time_iso8601",
        "time_local",
        "upstream_addr",
        "upstream_bytes_received",
        "upstream_bytes_sent",
        "upstream_cache_status",
        "upstream_connect_time",
        "upstream_header_time",
        "upstream_response_length",
        "upstream_response_time",
        "upstream_status",
        "uri",
        "http2",
        "proxy_host",
        "proxy_port",
        "proxy_add_x_forwarded_for",
        "realip_remote_addr",
        "realip_remote_port",
    ]
)


def boolean(text: str) -> bool:
    """Read what Go's ParseBool takes, since that is what users of the ConfigMap are used to."""
    if text in {"true", "True", "TRUE", "t", "T", "1"}:
        return True
    if text in {"false", "False", "FALSE", "f", "F", "0"}:
        return False
    raise ValueError('must be "true" or "false"')


def integer(low: int, high: int) -> Reader:
    """Make a reader of whole numbers between two bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,12}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


def duration(text: str) -> str:
    """Read nginx's time syntax; a bare number means seconds."""
    normal = f"{text}s" if re.fullmatch(r"\d{1,9}", text, re.ASCII) else text
    match = _TIME.fullmatch(normal) if normal else None
    if match is None or not any(match.groupdict().values()):
        raise ValueError('must be a time such as "60", "60s", "500ms" or "1h 30m" (units w d h m s ms, largest first)')
    seconds = sum(int(match[unit] or 0) * factor for unit, factor in _TIME_UNITS)
    if seconds > MAX_DURATION_SECONDS:
        raise ValueError('must not be longer than 365 days ("365d")')
    return normal.replace(" ", "")


def size(low: str = "0", high: str = "1g", *, giga: bool = False) -> Reader:
    """Make a reader of sizes between two bounds; nginx takes the unit g only for offsets, such as body sizes."""
    units = "kmg" if giga else "km"

    def read(text: str) -> str:
        match = _SIZE.fullmatch(text)
        if match is None or match[2].lower() not in ("", *units):
            raise ValueError(f'must be a size such as "1024", "8k" or "1m" (units {" ".join(units)})')
        if not size_bytes(low) <= size_bytes(text) <= size_bytes(high):
            raise ValueError(f"must be a size from {low} to {high}")
        return text.lower()

    return read


def size_bytes(text: str) -> int:
    """Return a size in bytes; the text has passed a reader."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no size")
    return int(match[1]) * _SIZE_UNITS[match[2].lower()]


def one_of(*allowed: str) -> Reader:
    """Make a reader of one word out of a list."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return read


def words(allowed: Iterable[str]) -> Reader:
    """Make a reader of space-separated words out of a list, which come back as one normalised string."""
    known = tuple(allowed)

    def read(text: str) -> str:
        found = text.split()
        if not found or not set(found) <= set(known):
            raise ValueError(f"must be one or more of {' '.join(known)}, separated by spaces")
        return " ".join(dict.fromkeys(found))

    return read


def pattern(regex: str, allowed: str, *, empty: bool = False) -> Reader:
    """Make a reader of text that fits a regular expression; `allowed` says in words what that is."""
    compiled = re.compile(regex, re.ASCII)

    def read(text: str) -> str:
        if (empty and not text) or compiled.fullmatch(text):
            return text
        raise ValueError(f"must be {allowed}")

    return read


def list_of(item: Reader, separator: str = ",") -> Reader:
    """Make a reader of separated items, which come back as a tuple, each once; empty items are skipped."""

    def read(text: str) -> tuple[Any, ...]:
        parts = text.split() if separator == " " else [part.strip() for part in text.split(separator)]
        return tuple(dict.fromkeys(item(part) for part in parts if part))

    return read


def at_most(number: int, items: Reader) -> Reader:
    """Make a reader of a list that is refused when it is longer, because nginx pays for each entry."""

    def read(text: str) -> Any:
        found = items(text)
        if len(found) > number:
            raise ValueError(f"must not have more than {number} entries")
        return found

    return read


def cidr(text: str) -> str:
    """Read an address or a network and return the network, so that nginx has no host bits to warn of."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError('must be IP addresses or networks such as "10.0.0.0/8", separated by commas') from None


def ip_address(text: str) -> str:
    """Read one IP address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError('must be IP addresses such as "10.0.0.1", separated by commas') from None


def error_code(text: str) -> int:
    """Read a status that nginx's error_page takes (it refuses 499)."""
    if re.fullmatch(r"[345]\d\d", text, re.ASCII) and text != "499":
        return int(text)
    raise ValueError("must be status codes from 300 to 599 without 499, separated by commas")


def ciphers(text: str) -> str:
    """Read an OpenSSL cipher list; OpenSSL itself says whether any cipher is left, as it will to nginx."""
    if not re.fullmatch(r"[A-Za-z0-9:+!@_=\-]{1,2048}", text, re.ASCII):
        raise ValueError("must be an OpenSSL cipher list: names joined by colons")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(text)
    except ssl.SSLError:
        raise ValueError("must be an OpenSSL cipher list that selects at least one cipher") from None
    return text


def buffers(text: str) -> str:
    """Read `number size`, as large_client_header_buffers wants it (nginx refuses buffers below its pool size)."""
    match = re.fullmatch(r"(\d{1,4})\s+(\d{1,9}[kKmM]?)", text, re.ASCII)
    if match is None or not (1 <= int(match[1]) <= MAX_BUFFERS and MIN_BUFFER <= size_bytes(match[2]) <= MAX_BUFFER):
        raise ValueError('must be a number and a size from 1k to 1m, such as "4 8k"')
    return f"{int(match[1])} {match[2].lower()}"


def log_format(text: str) -> str:
    """Read a log format: any text, but only variables that exist, because nginx refuses an unknown one."""
    for match in _LOG_VARIABLE.finditer(text):
        name = match["braced"] or match["plain"]
        if name is None:
            raise ValueError("must have the name of a variable after each $")
        if name not in NGINX_VARIABLES and name not in LOCATION_VARIABLES and not name.startswith(LOG_PREFIXES):
            raise ValueError(f"must print variables that the gateway has; it has no ${name[:60]}")
    return text


def has_control_characters(text: str) -> bool:
    """Tell whether a text holds a newline, a NUL or another control character."""
    return _CONTROL.search(text) is not None
