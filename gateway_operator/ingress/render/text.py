"""nginx's syntax for renderers: directives and blocks whose every argument is a typed value.

What is one directive here is one directive for nginx: arguments can't open or end anything, since `values` made them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from gateway_operator.ingress.render.values import Typed, UnsafeValueError, only_typed

_WORDS = re.compile(r"[A-Za-z0-9_$@.:/=~*+%-]+( [A-Za-z0-9_$@.:/=~*+%-]+)*")


@lru_cache(maxsize=4096)
def word(text: str) -> Typed:
    """Words of this program (a directive's name, a fixed argument); never what a user wrote."""
    if not _WORDS.fullmatch(text):
        raise UnsafeValueError("not a plain word")
    return Typed(text)


def directive(name: str, *arguments: Typed) -> Typed:
    """Print `name argument ...;`."""
    return Typed(" ".join([word(name).text, *map(only_typed, arguments)]) + ";")


def entry(*arguments: Typed) -> Typed:
    """Print a line of a map, geo or split_clients block."""
    return Typed(" ".join(map(only_typed, arguments)) + ";")


def block(name: str, arguments: Iterable[Typed], lines: Iterable[Typed]) -> Typed:
    """Print `name argument ... { lines }`, indented."""
    head = " ".join([word(name).text, *map(only_typed, arguments)])
    body = "".join(f"    {text}\n" for line in lines for text in only_typed(line).split("\n"))
    return Typed(f"{head} {{\n{body}}}")


def when(condition: Typed, *lines: Typed) -> Typed:
    """Print an `if`; the condition comes from `equals`, `matches` or is a variable."""
    body = "".join(f"    {only_typed(line)}\n" for line in lines)
    return Typed(f"if ({only_typed(condition)}) {{\n{body}}}")


def equals(variable: str, value: Typed) -> Typed:
    """Print the condition that a variable has a value."""
    return Typed(f"{word(variable).text} = {only_typed(value)}")


def matches(variable: str, pattern: Typed) -> Typed:
    """Print the condition that a variable matches a regular expression (see `values.regex`)."""
    return Typed(f"{word(variable).text} ~ {only_typed(pattern)}")


def differs(variable: str, pattern: Typed) -> Typed:
    """Print the condition that a variable doesn't match a regular expression."""
    return Typed(f"{word(variable).text} !~ {only_typed(pattern)}")
