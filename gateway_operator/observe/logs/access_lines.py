"""Reads access lines, of which clients write a good part: what they send must never pass for what the gateway says.

A line is read whole or not at all. nginx escapes quotes in what it logs, so a text in quotes ends at the next quote;
a format that prints a client's text outside of quotes, where it could pass for other fields, is refused, and so is a
JSON line with a nested or repeated key, which only a client can have made (log-format-escape-none).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway_operator.crds.config_keys import DEFAULT_LOG_FORMAT
from gateway_operator.errors import ConfigError

LONGEST = 65536
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_ESCAPED = re.compile(r"\\x([0-9A-Fa-f]{2})")
_STATUS = re.compile(r"[1-9][0-9]{2}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_REQUEST = re.compile(r"([A-Za-z]{1,32}) (\S*)(?: HTTP/[0-9.]+)?")
# Variables that nginx or the plan makes: what they print can't hold a space, a quote or a bracket.
_NUMBER, _WORD = r"[0-9.]+|-|", r"[^\s\"'\[\](){}<>|;,]*"
_NUMBERS = r"(?:[0-9.]+|-)(?:(?:, | : )(?:[0-9.]+|-))*"
_ADDRESSES = _NUMBERS.replace("[0-9.]+|-", r"[-0-9A-Za-z_.:/\[\]]+")
_SAFE = {
    "status": r"[0-9]{3}|",
    "request_time": _NUMBER,
    "upstream_status": _NUMBERS,
    "upstream_response_time": _NUMBERS,
    "upstream_response_length": _NUMBERS,
    "upstream_connect_time": _NUMBERS,
    "upstream_header_time": _NUMBERS,
    "upstream_addr": _ADDRESSES,
    "time_local": r"[^\]\"]*",
    **dict.fromkeys(["body_bytes_sent", "bytes_sent", "request_length", "connection", "connection_requests"], _NUMBER),
    **dict.fromkeys(["msec", "pid", "server_port", "remote_port", "pass_port"], _NUMBER),
    **dict.fromkeys(["remote_addr", "realip_remote_addr", "the_real_ip", "server_addr", "time_iso8601"], _WORD),
    **dict.fromkeys(["namespace", "ingress_name", "service_name", "service_port", "request_id"], _WORD),
    "gateway_cluster": _WORD,
    **dict.fromkeys(["proxy_upstream_name", "proxy_alternative_upstream_name", "request_method", "scheme"], _WORD),
    **dict.fromkeys(["server_protocol", "ssl_protocol", "ssl_cipher", "pipe", "hostname"], _WORD),
}
_NAMES = {
    "method": ("request_method", "method", "verb"),
    "host": ("host", "http_host", "best_http_host", "vhost", "server_name"),
    "path": ("uri", "request_uri", "path"),
    "latency": ("request_time", "latency", "duration", "response_time"),
    "status": ("status", "status_code", "response_code"),
    "upstream": ("upstream_addr", "upstream"),
    "upstream_name": ("proxy_upstream_name", "upstream_name"),
    "cluster": ("cluster", "upstream_cluster", "gateway_cluster"),
    "namespace": ("namespace", "kubernetes_namespace"),
    "ingress": ("ingress_name", "ingress"),
}
_ALL = tuple(_NAMES.values())
_ASKED = ("request", *_NAMES["method"], *_NAMES["path"])
_TAKEN = frozenset(("request", *(key for keys in _ALL for key in keys)))


class AccessLine(NamedTuple):  # one a line of an export: made in a third of a frozen dataclass' time
    """One request as the gateway logged it; what its format doesn't print is empty, numbers are None.

    `latency` is in seconds; `path` is without the query. `namespace` is the route's as the gateway says it,
    `upstream_name` the usual `namespace-service-port`.
    """

    status: int | None
    method: str
    host: str
    path: str
    latency: float | None
    upstream: str
    upstream_name: str
    cluster: str
    namespace: str
    ingress: str


Names = Sequence[Sequence[str]]  # what formats may call our fields, in the order of _NAMES
Reader = Callable[[str], Mapping[str, str] | None]


class AccessLines:
    """Reads lines of the usual format, JSON objects, and the formats that were named. Raises ConfigError for these."""

    def __init__(self, formats: Sequence[str] = ()) -> None:
        texts = [form for form in (*formats, DEFAULT_LOG_FORMAT) if not form.lstrip().startswith("{")]
        self._readers = tuple((_reader(form), _printed(form)) for form in texts)

    def read(self, line: str) -> AccessLine | None:
        """Return the request that a line tells of; None for a line that is none, or isn't whole."""
        text = line.rstrip("\r\n")
        if len(text) > LONGEST or _control(text):
            return None
        if text.startswith("{"):
            found = _json(text)
            return _line(found, _ALL) if found is not None and _is_access(found) else None
        for reader, names in self._readers:
            fields = reader(text)
            if fields is not None:
                return _line(fields, names)
        return None


def _reader(form: str) -> Reader:
    """Compile a log format to a function that takes a line apart."""
    pattern, position, quoted = "", 0, False
    for match in _VARIABLE.finditer(form):
        literal = form[position : match.start()]
        quoted ^= literal.count('"') % 2 == 1
        name, position = match[1] or match[2], match.end()
        known = f"(?P<{name}>" if name in _TAKEN and f"(?P<{name}>" not in pattern else "(?:"
        pattern += re.escape(literal) + known + _values(form, name, position, quoted=quoted) + ")"
    return _matcher(re.compile(pattern + re.escape(form[position:])))


def _printed(form: str) -> Names:
    """Return the names that a format has, so that reading a line doesn't look for others."""
    printed = {match[1] or match[2] for match in _VARIABLE.finditer(form)}
    return tuple(tuple(key for key in keys if key in printed) for keys in _ALL)


def _values(form: str, name: str, end: int, *, quoted: bool) -> str:
    """Return the pattern of what a variable prints at its place in a format."""
    if name in _SAFE and not quoted:
        return _SAFE[name]
    if quoted:
        return r"[^\"]*"
    before = _VARIABLE.sub("", form[:end])
    if '"' not in before and name == "remote_user":
        return r"[^\"]*?"
    if end == len(form):
        return r"[^\"]*"
    raise ConfigError(
        f"observability.elasticsearch.logFormats: ${name} must stand in double quotes, else clients could write lines "
        "of their own"
    )


def _matcher(compiled: re.Pattern[str]) -> Reader:
    def read(text: str) -> Mapping[str, str] | None:
        found = compiled.fullmatch(text)
        return found.groupdict("") if found else None

    return read


def _json(text: str) -> Mapping[str, str] | None:
    """Read a flat JSON object; nginx's usual escapes by x and two digits, which JSON doesn't know, are understood."""
    try:
        found = json.loads(_ESCAPED.sub(r"\\u00\1", text), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_access(fields: Mapping[str, str]) -> bool:
    """Tell a request from the other JSON lines that gateways write."""
    return bool(_first(fields, _NAMES["status"])) and any(key in fields for key in _ASKED)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, str]:
    if any(isinstance(value, (dict, list)) for _, value in pairs):
        raise ValueError("nested")
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("repeated")
    return {key: "" if value is None else str(value) for key, value in pairs}


def _line(fields: Mapping[str, str], names: Names) -> AccessLine:
    method, host, path, latency, status, upstream, *rest = [_first(fields, keys) for keys in names]
    if not (method and path) and (request := _REQUEST.fullmatch(fields.get("request", ""))):
        method, path = method or request[1], path or request[2]
    return AccessLine(
        _status(status), method.upper(), host.lower(), path.partition("?")[0], _seconds(latency), upstream, *rest
    )


def _first(fields: Mapping[str, str], keys: Sequence[str]) -> str:
    for key in keys:
        value = fields.get(key, "")
        if value not in {"", "-"}:
            return value
    return ""


def _status(text: str) -> int | None:
    return int(text) if _STATUS.fullmatch(text) else None


def _seconds(text: str) -> float | None:
    return float(text) if _SECONDS.fullmatch(text) else None


def _control(text: str) -> bool:
    return not text.isprintable() and any(ord(char) < 32 and char != "\t" for char in text)  # noqa: PLR2004
