"""Users' regular expressions, checked before a PCRE library compiles them.

nginx refuses its whole configuration for one bad expression, and one that backtracks without end stops a worker.

What passes means the same to Python and to PCRE: literals, classes, groups, alternatives and repetitions. Left out are
back references, named groups, inline flags behind the start, and repetitions of what can match in two ways.
"""

import re
from dataclasses import dataclass

MAX_REGEX = 512
MAX_REPEAT = 1000
MAX_UNBOUNDED = 10
MAX_DEPTH = 10
_ALLOWED = re.compile(r"[A-Za-z0-9/\-._~:^$\[\](){}*+?|&=\\,!@%<>]*", re.ASCII)
_QUANTIFIER = re.compile(r"[*+?][?+]?|\{(\d{1,4})(,(\d{0,4}))?\}[?+]?", re.ASCII)
_ESCAPE = re.compile(r"\\[dDwWsSbB.\-/+*?()\[\]{}|^$\\_~:=&,!@%]", re.ASCII)
_CLASS = re.compile(r"\[\^?(?:\\[dDwWsS.\-/+*?()\[\]{}|^$\\_~:=&,!@%]|[A-Za-z0-9/\-._~:$(){}*+?|&=,!@%^])+\]", re.ASCII)
_OPEN = re.compile(r"\((\?:|\?=|\?!)?")


@dataclass(frozen=True)
class _Atom:
    """One thing that can be repeated; `branches` are the alternatives of a group."""

    text: str
    unbounded: bool
    branches: "tuple[tuple[_Atom, ...], ...]" = ()

    @property
    def is_literal(self) -> bool:
        return not self.branches and not self.unbounded and (len(self.text) == 1 and self.text not in ".^$")


def regex(text: str) -> str:
    """Check a regular expression and return it."""
    if not text or len(text) > MAX_REGEX or not _ALLOWED.fullmatch(text):
        raise ValueError(
            f"must be a regular expression of at most {MAX_REGEX} characters: letters, digits and "
            "/ - . _ ~ : ^ $ [ ] ( ) { } * + ? | & = \\ , ! @ % < >"
        )
    parser = _Parser(text.removeprefix("(?i)"))
    branches = parser.alternatives(0)
    if parser.rest:
        raise ValueError(f"must be a regular expression: there is nothing that {parser.rest[0]} closes")
    _check_repeats(branches)
    try:
        re.compile(text.replace("\\/", "/"), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    return text


class _Parser:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self.rest = text
        self.unbounded = 0

    def alternatives(self, depth: int) -> tuple[tuple[_Atom, ...], ...]:
        if depth > MAX_DEPTH:
            raise ValueError(f"must be a regular expression with groups at most {MAX_DEPTH} deep")
        branches: list[tuple[_Atom, ...]] = []
        while True:
            atoms: list[_Atom] = []
            while self.rest and self.rest[0] not in "|)":
                atoms.append(self._atom(depth))
            branches.append(tuple(atoms))
            if not self.rest.startswith("|"):
                return tuple(branches)
            self.rest = self.rest[1:]

    def _atom(self, depth: int) -> _Atom:
        text, branches = self._single(depth)
        unbounded = False
        quantifier = _QUANTIFIER.match(self.rest)
        if quantifier:
            if text in {"^", "$"} or text.startswith(("(?=", "(?!")):
                raise ValueError(f"must be a regular expression: {text[0]} can't be repeated")
            unbounded = self._is_unbounded(quantifier)
            self.rest = self.rest[quantifier.end() :]
        self.unbounded += unbounded
        if self.unbounded > MAX_UNBOUNDED:
            raise ValueError(f"must be a regular expression with at most {MAX_UNBOUNDED} of * and +")
        return _Atom(text, unbounded, branches)

    def _single(self, depth: int) -> tuple[str, tuple[tuple[_Atom, ...], ...]]:
        opened = _OPEN.match(self.rest)
        if opened:
            self.rest = self.rest[opened.end() :]
            branches = self.alternatives(depth + 1)
            if not self.rest.startswith(")"):
                raise ValueError("must be a regular expression: a ( isn't closed")
            self.rest = self.rest[1:]
            return opened[0] + ")", branches
        found = _ESCAPE.match(self.rest) or _CLASS.match(self.rest)
        if found is None and self.rest[0] in "\\[]{}*+?":
            raise ValueError(
                f"must be a regular expression: it has a {self.rest[0]} that stands alone or isn't allowed"
            )
        text = found[0] if found else self.rest[0]
        self.rest = self.rest[len(text) :]
        if text == "$" and self.rest and self.rest[0] not in "|)":
            raise ValueError("must be a regular expression: $ stands only at an end")
        return text, ()

    @staticmethod
    def _is_unbounded(quantifier: re.Match[str]) -> bool:
        if quantifier[1] is None:
            return quantifier[0][0] in "*+"
        if max(int(quantifier[1]), int(quantifier[3] or 0)) > MAX_REPEAT:
            raise ValueError(f"must be a regular expression that repeats nothing more than {MAX_REPEAT} times")
        return quantifier[2] == ","


def _check_repeats(branches: tuple[tuple[_Atom, ...], ...]) -> None:
    """Refuse a repeated group that can match the same text in two ways, as `(a+)+` and `(a|a)*`."""
    for branch in branches:
        for atom in branch:
            if atom.unbounded and atom.branches and not _is_plain(atom.branches):
                raise ValueError("must be a regular expression without a repeated group whose parts repeat or overlap")
            _check_repeats(atom.branches)


def _is_plain(branches: tuple[tuple[_Atom, ...], ...]) -> bool:
    """Each branch begins with a character of its own that nothing repeated in it can match."""
    if len(branches) == 1 and not _leaves(branches[0]) and not any(atom.branches for atom in branches[0]):
        return bool(branches[0])
    firsts = [branch[0].text if branch and branch[0].is_literal else "" for branch in branches]
    if "" in firsts or len(set(firsts)) < len(firsts):
        return False
    return all(_is_delimited(branch, firsts) for branch in branches)


def _is_delimited(branch: tuple[_Atom, ...], firsts: list[str]) -> bool:
    leaves = _leaves(branch)
    if any(leaf.branches for leaf in leaves):
        return False
    return not any(re.fullmatch(leaf.text, first) for leaf in leaves for first in firsts)


def _leaves(branch: tuple[_Atom, ...]) -> list[_Atom]:
    """Everything repeated in a branch, however deep."""
    found = [atom for atom in branch if atom.unbounded]
    for atom in branch:
        for inner in atom.branches:
            found.extend(_leaves(inner))
    return found
