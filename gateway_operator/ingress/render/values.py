"""The only things a template may print: values whose text was made by one of the functions here.

Jinja's `finalize` passes every expression through `only_typed`, so a plain string in a template is an error at render
time, not a hole. Each function checks its own grammar again, whatever the steps before it did.
"""

from __future__ import annotations

import ipaddress
import re

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
    return _matching(r"([a-z]+/)?[a-z0-9-]+\.(pem|conf)", text)


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
    return _matching(r"[A-Za-z0-9_.-]+( [A-Za-z0-9_.-]+)*", text)


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


def server_name(host: str) -> Typed:
    """A host for `server_name`; a wildcard stands for exactly one label, which takes a regular expression."""
    label = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
    if not re.fullmatch(rf"(\*\.)?{label}(\.{label})*", host):
        raise UnsafeValueError("no host name")
    if not host.startswith("*."):
        return Typed(host)
    return Typed('"~^[^.]+\\.' + host[2:].replace(".", "\\.") + '$"')


def variable(name: str) -> Typed:
    """The name of an nginx variable, without the `$`."""
    return _matching(r"[a-z_][a-z0-9_]*", name)


def _matching(pattern: str, text: str) -> Typed:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise UnsafeValueError(f"text that is no {pattern}")
    return Typed(text)
