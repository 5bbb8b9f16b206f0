"""The grammars of annotation values: text in, a typed value that means one thing only out.

Each reader matches the whole value against an allow-list of its own and raises ValueError with a sentence that says
what is allowed. Variables are kept in one form, `${name}`, and only those of a list; nothing else may hold a `$`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gateway_operator.crds.config_types import Reader, cidr, ciphers, integer, list_of, pattern
from gateway_operator.ingress import grammar
from gateway_operator.ingress.policies import HASH_PREFIXES, HASH_VARIABLES, URL_VARIABLES

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))?", re.ASCII)
_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_URL_TEXT = r"[A-Za-z0-9._~:/?\[\]@!&()*+,=%-]"
_AUTH_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>\$\{{\w+\}}|{_HOST}|\[[0-9a-fA-F:]{{2,45}}\])(:(?P<port>[1-9]\d{{0,4}}))?"
    rf"(?P<uri>[/?]({_URL_TEXT}|\$\{{\w+\}})*)?",
    re.ASCII,
)
_OWN_HOST = frozenset({"host", "http_host", "best_http_host", "server_name"})
_UPSTREAM_HOST_VARIABLES = frozenset({"service_name", "namespace", "service_port", "ingress_name"})
_HEADER_VALUE = re.compile(r"[A-Za-z0-9 _:;.,/\\\"'?!(){}\[\]@<>=\-+*#&`|~^%]{0,1024}", re.ASCII)
MAX_TEXT = 2048
MAX_PORT = 65535

Ref = tuple[str, str]

token = pattern(r"[A-Za-z0-9_.-]{1,128}", "letters, digits and . _ -")
header_name = pattern(r"[A-Za-z0-9_-]{1,128}", "a header name: letters, digits, - and _")
method = pattern("GET|HEAD|POST|PUT|PATCH|DELETE|CONNECT|OPTIONS|TRACE", "an HTTP method in capitals")
realm = pattern(r"[A-Za-z0-9 /._~:,()!-]{1,200}", "letters, digits, spaces and / . _ ~ : , ( ) ! -")
header_value = pattern(r"[A-Za-z0-9 /._~:=+@,|-]{1,256}", "letters, digits, spaces and / . _ ~ : = + @ , | -")
service = pattern(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", "the name of a Service in the Ingress's namespace")
forwarded_prefix = pattern(r"/?[A-Za-z0-9._~/:-]{1,512}", "a path of letters, digits and . _ ~ / : -")
cookie_path = pattern(r"/[A-Za-z0-9._~/:,?&=-]{0,512}", "a path that starts with /")
cookie_domain = pattern(rf"\.?{_HOST}", "a domain")
app_root = pattern(rf"/(?!/){_URL_TEXT}{{0,1023}}|/", "a path that starts with one /")
limit = integer(0, 10**6)
headers = list_of(pattern(r"[A-Za-z0-9_-]{1,128}|\*", "header names, separated by commas"))
methods = list_of(pattern(r"[A-Za-z]{1,32}|\*", "HTTP methods, separated by commas"))
networks = list_of(cidr)
error_codes = list_of(integer(400, 599))


def non_empty(read: Reader) -> Reader:
    """Make a reader of lists that must have something in them."""

    def checked(text: str) -> Any:
        found = read(text)
        if not found:
            raise ValueError("must not be empty")
        return found

    return checked


def one_header(read: Reader) -> Reader:
    """Make a reader of a list that goes into one header: nginx's configuration takes no text of 4,096 bytes."""

    def checked(text: str) -> Any:
        if len(text) > MAX_TEXT:
            raise ValueError(f"must not be longer than {MAX_TEXT} characters")
        return non_empty(read)(text)

    return checked


def choice(*allowed: str, lower: bool = False) -> Reader:
    """Make a reader of one word out of a list, in any case where `lower`."""

    def read(text: str) -> str:
        word = text.lower() if lower else text
        if word not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return word

    return read


def on_off(text: str) -> bool:
    """Read `on` or `off`."""
    return bool(choice("on", "off")(text) == "on")


def seconds(low: float, high: float) -> Reader:
    """Make a reader of seconds, with or without an `s`."""

    def read(text: str) -> float:
        match = re.fullmatch(r"(\d{1,6}(\.\d{1,3})?)s?", text, re.ASCII)
        if match is None or not low <= float(match[1]) <= high:
            raise ValueError(f"must be seconds from {low:g} to {high:g}")
        return float(match[1])

    return read


def reference(text: str) -> Ref:
    """Read `name` or `namespace/name`; the namespace is "" when it isn't there."""
    namespace, slash, name = text.rpartition("/")
    if not re.fullmatch(_NAME, name, re.ASCII) or (slash and not re.fullmatch(_NAME, namespace, re.ASCII)):
        raise ValueError("must be a name, or a namespace and a name with a / between them")
    return namespace, name


def host_ciphers(text: str) -> str:
    """Read an OpenSSL cipher list without commands: the level of security is the gateway's."""
    if "@" in text:
        raise ValueError("must not hold commands such as @SECLEVEL")
    return str(ciphers(text))


def hosts(text: str) -> tuple[str, ...]:
    """Read host names, each with `*.` at the start at most, separated by commas."""
    found = list_of(lambda part: grammar.host(part.lower()))(text)
    if not found:
        raise ValueError("must have a host name")
    return tuple(sorted(set(found)))


def host_name(text: str) -> str:
    """Read one host name without a port."""
    found = grammar.host(text.lower())
    if not found or found.startswith("*"):
        raise ValueError("must be a host name")
    return found


def upstream_host(text: str) -> str:
    """Read a Host header; the names of the backend's Service and namespace may stand in it as variables."""
    normal = _with_variables(text, _UPSTREAM_HOST_VARIABLES)
    grammar.virtual_host(_VARIABLE.sub("x", normal))
    return normal


def rewrite_target(text: str) -> str:
    """Read the path that a backend gets; `$1` to `$9` are groups of the rule's path."""
    if len(text) > grammar.MAX_PATH or not re.fullmatch(
        r"(/|\$[1-9])([A-Za-z0-9._~/:@,=+!&*-]|\$[1-9])*", text, re.ASCII
    ):
        raise ValueError("must be a path of /, letters, digits, . _ ~ / : @ , = + ! & * - and $1 to $9")
    return text


def redirect_url(text: str) -> str:
    """Read where clients are sent: a URL, at whose end `$request_uri` may stand."""
    plain = text.removesuffix("$request_uri").removesuffix("${request_uri}")
    if len(text) > MAX_TEXT or not re.fullmatch(rf"https?://{_HOST}(:\d{{1,5}})?([/?#]({_URL_TEXT}|#)*)?", plain):
        raise ValueError("must be a URL with http:// or https:// and no variable, but $request_uri at the end")
    return plain + ("${request_uri}" if plain != text else "")


def hash_key(text: str) -> str:
    """Read a text with nginx variables that tell one client or request from another."""
    normal = _with_variables(text, HASH_VARIABLES, HASH_PREFIXES)
    if len(text) > MAX_TEXT or not normal or not re.fullmatch(r"[A-Za-z0-9_.:/|{}$-]+", normal, re.ASCII):
        raise ValueError("must be letters, digits, . _ : / | - and nginx variables")
    return normal


@dataclass(frozen=True)
class AuthUrl:
    """Who decides about a request. `host` is "" for the host that the request is for; `uri` may hold variables."""

    tls: bool
    host: str
    port: int
    uri: str


def auth_url(text: str) -> AuthUrl:
    """Read the URL of an authentication service."""
    match = _AUTH_URL.fullmatch(_with_variables(text, URL_VARIABLES)) if len(text) <= MAX_TEXT else None
    if match is None:
        raise ValueError("must be a URL with http:// or https://, a host and a path")
    host = match["host"].lower().strip("[]")
    if host.startswith("$"):
        if host[2:-1] not in _OWN_HOST:
            raise ValueError("must not take its host from a variable other than $host")
        host = ""
    tls = match["scheme"] == "https"
    port = int(match["port"] or (443 if tls else 80))
    if port > MAX_PORT:
        raise ValueError(f"must have a port up to {MAX_PORT}")
    uri = match["uri"] or "/"
    return AuthUrl(tls, host, port, uri if uri.startswith("/") else f"/{uri}")


def url_text(text: str) -> str:
    """Read a URL or a path in which variables of the request may stand."""
    normal = _with_variables(text, URL_VARIABLES)
    if len(text) > MAX_TEXT or not re.fullmatch(rf"(https?://|\$\{{scheme\}}://|/)({_URL_TEXT}|\$\{{\w+\}})*", normal):
        raise ValueError(f"must be a URL or a path; variables in it can be {', '.join(sorted(URL_VARIABLES))}")
    return normal


def origins(text: str) -> tuple[str, ...]:
    """Read origins for CORS: `*`, `null`, or scheme and host with `*` for the first label and for the port at most."""
    item = pattern(
        rf"\*|null|[a-z][a-z0-9+.-]{{0,31}}://(\*\.)?{_HOST}(:(\d{{1,5}}|\*))?",
        'origins such as "https://example.com" or "https://*.example.com:8080", separated by commas',
    )
    return tuple(non_empty(list_of(item))(text))


def header_lines(text: str) -> tuple[tuple[str, str], ...]:
    """Read lines of `Name: value`."""
    found = []
    for line in filter(None, (part.strip() for part in text.splitlines())):
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("must be lines of Name: value")
        found.append((header_name(name.strip()), response_value(value.strip())))
    return tuple(sorted(non_empty(lambda _: found)(text)))


def response_value(text: str) -> str:
    """Read the value of a header that is sent to clients; it has no variables."""
    if not _HEADER_VALUE.fullmatch(text):
        raise ValueError("must be a header value of printable ASCII characters without $, at most 1024")
    return text


def backend_protocol(text: str) -> str:
    """Read the protocol of a backend."""
    word = text.upper()
    if word in {"FCGI", "AUTO_HTTP"}:
        raise ValueError(f"must be HTTP, HTTPS, GRPC or GRPCS: {word} is not offered; put a web server before it")
    return str(choice("HTTP", "HTTPS", "GRPC", "GRPCS")(word)).lower()


def _with_variables(text: str, allowed: frozenset[str], prefixes: tuple[str, ...] = ()) -> str:
    """Write every variable as `${name}`; ValueError for one that isn't in the list."""

    def normal(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None or not (name in allowed or name.startswith(prefixes or ("\0",))):
            raise ValueError(f"must not hold the variable {grammar.shown(match[0])}")
        return f"${{{name}}}"

    return _VARIABLE.sub(normal, text)
