"""Readers of the texts that change headers of responses or turn clients away; ConfigMap and annotations share them."""

import re

from gateway_operator.crds.regex_types import regex

_DOMAIN = r"[A-Za-z0-9._-]{1,200}"
_PATH = r"[A-Za-z0-9./_%-][A-Za-z0-9./_~%-]{0,199}"
_REDIRECT = re.compile(r"(?!~)[A-Za-z0-9.:/_~%?&=,+@-]{1,512}", re.ASCII)
_LITERAL = re.compile(r"[A-Za-z0-9 ./_:;()+,*?&=@!%\[\]-]{1,256}", re.ASCII)
OFF = ("off", "")


def cookie_domain(text: str) -> tuple[str, str]:
    """Read `off` or two domains."""
    return _pair(text, _DOMAIN, '"off" or two domains with a space between them')


def cookie_path(text: str) -> tuple[str, str]:
    """Read `off` or two paths."""
    return _pair(text, _PATH, '"off" or two paths with a space between them')


def redirect_text(text: str) -> str:
    """Read one side of `proxy_redirect`: `off`, `default` or a URL without variables."""
    if not _REDIRECT.fullmatch(text):
        raise ValueError('must be "off", "default" or a URL without variables')
    return text


def blocked(text: str) -> str:
    """Read an entry of a block list: the whole text, or `~` (`~*` for any case) and a regular expression."""
    if text.startswith("~"):
        prefix = "~*" if text.startswith("~*") else "~"
        return prefix + regex(text.removeprefix(prefix))
    if not _LITERAL.fullmatch(text):
        raise ValueError('must be plain texts, or "~" and a regular expression, separated by commas')
    return text


def _pair(text: str, item: str, allowed: str) -> tuple[str, str]:
    if text == "off":
        return OFF
    match = re.fullmatch(rf"({item})\s+({item})", text, re.ASCII)
    if match is None:
        raise ValueError(f"must be {allowed}")
    return match[1], match[2]
