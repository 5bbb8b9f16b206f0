"""The only things a template may print: values whose text was made by one of the functions here.

Jinja's `finalize` passes every expression through `only_typed`, so a plain string in a template is an error at render
time, not a hole. Each function checks its own grammar again, whatever the steps before it did.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Container

from gateway_operator.ingress.policies import HASH_PREFIXES, HASH_VARIABLES, URL_VARIABLES

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class UnsafeValueError(ValueError):
    """A value that must not be printed: a fault of ours, since users' values are checked long before."""


class Typed:
    """A piece of text that is safe where it stands."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def only_typed(value: object) -> str:
    """Let typed values pass and nothing else."""
    if isinstance(value, Typed):
        return value.text
    raise UnsafeValueError(f"templates print typed values only, not {type(value).__name__}")


def ident(text: str) -> Typed:
    """A name of ours: hashes, upstream names, file names."""
    return _matching(r"[A-Za-z_][A-Za-z0-9_]{0,63}", text)


def file(text: str) -> Typed:
    """A relative file name made of hashes and fixed words."""
    return _matching(r"([a-z]+/)?[a-z0-9-]+(\.(pem|conf))?", text)


def integer(number: int) -> Typed:
    """A whole number."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise UnsafeValueError("no integer")
    return Typed(str(number))


def duration(text: str) -> Typed:
    """A time in nginx's syntax."""
    return _matching(r"(\d+(ms|[wdhms]))+", text)


def size(text: str) -> Typed:
    """A size in nginx's syntax."""
    return _matching(r"\d+[kmg]?", text)


def words(text: str) -> Typed:
    """Plain words with spaces between them, as `error timeout` or `4 8k`."""
    return _matching(r"[A-Za-z0-9_.:-]+( [A-Za-z0-9_.:-]+)*", text)


def ciphers(text: str) -> Typed:
    """An OpenSSL cipher list."""
    return _matching(r"[A-Za-z0-9:+!@_=-]+", text)


def mime(text: str) -> Typed:
    """A MIME type."""
    return _matching(r"[a-z0-9.+*/-]+", text.lower())


def network(text: str) -> Typed:
    """An IP network."""
    return Typed(str(ipaddress.ip_network(text, strict=False)))


def address(host: str, port: int) -> Typed:
    """An IP address with a port."""
    ip = ipaddress.ip_address(host)
    if getattr(ip, "scope_id", None) or not 0 < port < 65536:  # noqa: PLR2004
        raise UnsafeValueError("no address with a port")
    return Typed(f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}")  # noqa: PLR2004


def switch(on: bool) -> Typed:  # noqa: FBT001
    """`on` or `off`."""
    return Typed("on" if on else "off")


def quoted(text: str) -> Typed:
    """Any literal text. nginx can't escape a `$`, so a text that holds one is refused."""
    if "$" in text:
        raise UnsafeValueError("a literal must not hold a $")
    return with_variables(text)


def with_variables(text: str) -> Typed:
    """A text in which `$name` means nginx's variable; only log formats that passed their own check get here."""
    if _CONTROL.search(text):
        raise UnsafeValueError("a literal must not hold control characters")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return Typed(f'"{escaped}"')


def literal(text: str) -> Typed:
    """Any literal text where nginx puts variables in: `$dollar` stands for the sign that nginx can't escape."""
    return with_variables(text.replace("$", "${dollar}"))


def label(text: str) -> Typed:
    """A name from Kubernetes, for logs and headers; one that holds control characters was never a valid one."""
    return literal(_CONTROL.sub("_", text))


def with_known_variables(text: str, known: Container[str]) -> Typed:
    """A text in which `$name` means nginx's variable when it is one of `known`; no other `$` may be in it."""
    for found in re.finditer(r"\$(\{(\w+)\}|(\w+))?", text, re.ASCII):
        if (found[2] or found[3]) not in known:
            raise UnsafeValueError("a text with a variable that isn't allowed there")
    return with_variables(text)


def regex(text: str, *, prefix: str = "") -> Typed:
    """A regular expression in quotes; `prefix` is what nginx wants before it (`~` in maps)."""
    return with_variables(prefix + text)  # nginx reads no variables in a pattern


def exactly(text: str) -> str:
    """Return the regular expression that matches one text only."""
    return re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", text)


def rewrite_target(text: str) -> Typed:
    """The new URI of a `rewrite`: a path in which `$1` to `$9` are groups. A query would take unescaped groups."""
    if not re.match(r"/|\$[1-9]", text) or "?" in text or re.search(r"\$(?![1-9])", text):
        raise UnsafeValueError("no target of a rewrite")
    return with_variables(text)


def plain(text: str) -> Typed:
    """A literal where nginx takes a leading `~` for the start of a regular expression."""
    if text.startswith("~"):
        raise UnsafeValueError("a literal must not start with ~")
    return literal(text)


def module(folder: str, name: str) -> Typed:
    """The file of a dynamic module; the folder comes from our own options."""
    return _matching(r"/[A-Za-z0-9_./+-]+\.so", f"{folder}/{name}.so")


def log_file(text: str) -> Typed:
    """Where logs go: the container's output, or a file in the two folders that a gateway may write to."""
    return _matching(r"stderr|/dev/std(out|err)|/(var/log/nginx|tmp)/[A-Za-z0-9_-][A-Za-z0-9._-]*", text)


def header(text: str) -> Typed:
    """The name of a header."""
    return _matching(r"[A-Za-z0-9_-]{1,128}", text)


def request_header(name: str) -> Typed:
    """The variable of nginx for a header of the request, with its `$`."""
    return Typed(f"$http_{header(name).text.lower().replace('-', '_')}")


def cookie(name: str) -> Typed:
    """The variable of nginx for a cookie, with its `$`."""
    return Typed(f"$cookie_{ident(name)}")


def url(text: str) -> Typed:
    """A URL, a path or a part of one, with variables of the request."""
    return with_known_variables(text, URL_VARIABLES)


def hash_key(text: str) -> Typed:
    """A text with variables that tell one request or client from another."""
    known = {name for name in re.findall(r"\$\{?(\w+)", text, re.ASCII) if name.startswith(HASH_PREFIXES)}
    return with_known_variables(text, HASH_VARIABLES | known)


def joined(*parts: Typed) -> Typed:
    """One argument made of several: quoted ones lose their inner quotes; nothing of it is quoted twice."""
    return Typed('"' + "".join(re.sub(r'^"(.*)"$', r"\1", only_typed(part), flags=re.DOTALL) for part in parts) + '"')


def seconds(number: float) -> Typed:
    """A time where nginx takes whole seconds only; never less than was asked for, since 0 switches it off."""
    return Typed(f"{math.ceil(number)}s")


def server_name(host: str) -> Typed:
    """A host for `server_name`; a wildcard stands for exactly one label, which takes a regular expression."""
    label = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
    if not re.fullmatch(rf"(\*\.)?{label}(\.{label})*", host, re.ASCII):
        raise UnsafeValueError("no host name")
    if not host.startswith("*."):
        return Typed(host)
    return Typed('"~^[^.]+\\.' + host[2:].replace(".", "\\.") + '$"')


def host_pattern(host: str) -> Typed:
    """A host as the key of a map, quoted: some of a map's keys are words with a meaning."""
    name = server_name(host)
    return name if host.startswith("*.") else Typed(f'"~*^{host.replace(".", chr(92) + ".")}$"')


def variable(name: str) -> Typed:
    """The name of an nginx variable, without the `$`."""
    return _matching(r"[a-z_][a-z0-9_]*", name)


def _matching(pattern: str, text: str) -> Typed:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise UnsafeValueError(f"text that is no {pattern}")
    return Typed(text)
