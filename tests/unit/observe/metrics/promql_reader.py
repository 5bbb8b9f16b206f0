"""Reads PromQL back into tokens, so that tests can judge what was written by other means than those that wrote it."""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<duration>\d+[smhdwy](?![a-zA-Z0-9_:]))
    |(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)
    |(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    |(?P<mark>=~|!~|!=|>=|<=|==|[-+*/%^(){}\[\],:=<>])
    """,
    re.VERBOSE,
)
ESCAPE = re.compile(r"\\(u[0-9a-f]{4}|.)")


@dataclass(frozen=True)
class Token:
    """A piece of a query."""

    kind: str
    text: str


def tokens(query: str) -> list[Token]:
    """All pieces; ValueError for what PromQL hasn't."""
    found, at = [], 0
    while at < len(query):
        match = TOKEN.match(query, at)
        if match is None:
            raise ValueError(f"no PromQL at {at}: {query[at : at + 20]!r}")
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group()))
        at = match.end()
    return found


def value_of(text: str) -> str:
    """What a string literal stands for."""

    def plain(match: re.Match[str]) -> str:
        code = match.group(1)
        if code.startswith("u") and len(code) == 5:
            return chr(int(code[1:], 16))
        return {"n": "\n", "t": "\t"}.get(code, code)

    return ESCAPE.sub(plain, text[1:-1])


def selectors(query: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Each metric's name with its matchers; ValueError for strings anywhere else and for bare metrics."""
    found, pieces = [], tokens(query)
    at = 0
    while at < len(pieces):
        if pieces[at].text == "{":
            name = pieces[at - 1]
            assert name.kind == "name"
            end, matchers = at + 1, []
            while pieces[end].text != "}":
                label, operator, value, after = pieces[end : end + 4]
                assert (label.kind, value.kind) == ("name", "string")
                matchers.append((label.text, operator.text, value_of(value.text)))
                end += 4 if after.text == "," else 3
            found.append((name.text, matchers))
            at = end
        elif pieces[at].kind == "string":
            raise ValueError(f"a string outside of a selector: {pieces[at].text}")
        elif pieces[at].kind == "name" and pieces[at].text.startswith(("nginx_", "gateway_")):
            assert pieces[at + 1].text == "{", f"a metric without matchers: {pieces[at].text}"
        at += 1
    return found
