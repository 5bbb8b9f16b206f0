"""What users may write into the fields that end in nginx.conf, so that nothing they write can mean more than it says.

Each field has an allow-list that matches the whole value. A checker returns the value in the form that the plan
keeps, or raises `FieldError` with a sentence that tells what is allowed. Quoting in the renderer is the second net
below this one.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from gateway_operator.crds.regex_types import regex

MAX_HOST = 253
MAX_PATH = 1024
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_STRICT_PATH = re.compile(r"/[A-Za-z0-9._\-/]*")
_LOOSE_PATH = re.compile(r"/([A-Za-z0-9._~\-/!&()*+,:=@]|%[0-9A-Fa-f]{2})*")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\"'\\;{}$#`<>|^]")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_PORT = re.compile(r"[a-z0-9-]{1,63}")
_VHOST = re.compile(rf"{_LABEL}(\.{_LABEL})*(:[1-9]\d{{0,4}})?")


class FieldError(ValueError):
    """A value that its field doesn't take; the text is for the Event that names the object and the field."""


def host(value: str) -> str:
    """Check a rule's host: a DNS name, or one with `*.` in the place of its first label; "" stands for every host."""
    if value == "":
        return ""
    if len(value) > MAX_HOST or not _HOST.fullmatch(value):
        raise FieldError(
            f'{shown(value)} is no DNS name (small letters, digits, "-" and ".", with "*." at the start at most)'
        )
    return value


def path(value: str, *, strict: bool) -> str:
    """Check a rule's path and return what nginx compares: the decoded form. An empty path is `/`."""
    if value == "":
        return "/"
    grammar = _STRICT_PATH if strict else _LOOSE_PATH
    if len(value) > MAX_PATH or not grammar.fullmatch(value):
        allowed = (
            'letters, digits and ". _ - /"' if strict else 'letters, digits, ". _ ~ - / ! & ( ) * + , : = @" and %XX'
        )
        raise FieldError(f"{shown(value)} is no path that can be served: it must start with / and hold only {allowed}")
    try:
        decoded = unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise FieldError(f"{shown(value)} holds %XX that are no UTF-8") from None
    if _UNSAFE.search(decoded):
        raise FieldError(f"{shown(value)} hides a character behind %XX that paths must not hold")
    return decoded


def regex_path(value: str, *, literal: bool) -> str:
    """Check a path that is a regular expression, matched from the start; `literal` ones have their dots escaped."""
    if not value.startswith("/"):
        raise FieldError(f"{shown(value)} is no path that can be served: it must start with /")
    try:
        return regex(value.replace(".", "\\.") if literal else value)
    except ValueError as error:
        raise FieldError(f"{shown(value)} is no path that can be served: it {error}") from None


def name(value: object) -> str:
    """Check the name of a Service; the API server takes no other."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise FieldError(f"{shown(str(value))} is no name of a Service")
    return value


def port(value: object) -> str:
    """Check a port's name or number."""
    if not _PORT.fullmatch(str(value)):
        raise FieldError(f"{shown(str(value))} is no name or number of a port")
    return str(value)


def virtual_host(value: str) -> str:
    """Check a Host header that is sent to a backend instead of the client's."""
    if len(value) > MAX_HOST or not _VHOST.fullmatch(value):
        raise FieldError(f"{shown(value)} is no host name with an optional port")
    return value


def shown(value: str, limit: int = 80) -> str:
    """Return a user's text in a form that is safe in logs and Events: quoted, escaped and cut."""
    return ascii(value if len(value) <= limit else value[:limit] + "...")
