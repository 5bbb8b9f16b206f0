"""Builds PromQL from values, because text pasted into a query has let tenants read each other before.

An expression is a tree whose only leaves are numbers and selectors, and a `Selector` can't be made without a `Scope`,
which can't be made without the matchers that hold a tenant in. So there is no expression without them. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
Operator = Literal["=", "!=", "=~", "!~"]
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Expression(Protocol):
    """Anything that has a place in a query."""

    def text(self) -> str:
        """Return it as PromQL."""
        ...


def quoted(value: str) -> str:
    """Return a value as a PromQL string; nothing in it can end the string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_CONTROL.sub(lambda found: f"{chr(92)}u{ord(found.group()):04x}", escaped)}"'


@dataclass(frozen=True)
class Matcher:
    """What a label must be; values of `=~` and `!~` are regular expressions, which Prometheus anchors."""

    label: str
    operator: Operator
    value: str

    def __post_init__(self) -> None:
        if not LABEL.fullmatch(self.label):
            raise ValueError(f"{self.label!r} is no name of a label")

    def text(self) -> str:
        """Return it as PromQL."""
        return f"{self.label}{self.operator}{quoted(self.value)}"


def same(label: str, value: str) -> Matcher:
    """Match one value exactly."""
    return Matcher(label, "=", value)


@dataclass(frozen=True)
class Scope:
    """The matchers that hold a tenant in, at least one of them exact and not empty; nothing is selected without."""

    matchers: tuple[Matcher, ...]

    def __post_init__(self) -> None:
        if not any(matcher.operator == "=" and matcher.value for matcher in self.matchers):
            raise ValueError("a scope needs a label that must have one value")

    @property
    def labels(self) -> frozenset[str]:
        """The labels that are decided here and nowhere else."""
        return frozenset(matcher.label for matcher in self.matchers)

    def select(self, metric: str, *matchers: Matcher) -> Selector:
        """Return the series of a metric within this scope; other matchers can only narrow it."""
        return Selector(self, metric, matchers)


@dataclass(frozen=True)
class Selector:
    """Series of one metric."""

    scope: Scope
    metric: str
    matchers: tuple[Matcher, ...] = ()

    def __post_init__(self) -> None:
        if not METRIC.fullmatch(self.metric):
            raise ValueError(f"{self.metric!r} is no name of a metric")
        if self.scope.labels & {matcher.label for matcher in self.matchers}:
            raise ValueError("a matcher names a label that the scope decides")

    def text(self) -> str:
        """Return it as PromQL."""
        return f"{self.metric}{{{','.join(m.text() for m in (*self.scope.matchers, *self.matchers))}}}"

    def over(self, window: int, *, offset: int = 0) -> Window:
        """Return the samples of the last `window` seconds, up to `offset` seconds ago."""
        return Window(self, window, offset)


@dataclass(frozen=True)
class Window:
    """Samples of a selector over whole seconds."""

    selector: Selector
    seconds: int
    offset: int = 0

    def __post_init__(self) -> None:
        if self.seconds < 1:
            raise ValueError("a window needs a length")

    def text(self) -> str:
        """Return it as PromQL."""
        before = f" offset {self.offset}s" if self.offset else ""
        return f"{self.selector.text()}[{self.seconds}s]{before}"


@dataclass(frozen=True)
class Resampled:
    """An expression evaluated every `step` seconds over a window."""

    inner: Expression
    seconds: int
    step: int

    def text(self) -> str:
        """Return it as PromQL."""
        return f"({self.inner.text()})[{self.seconds}s:{self.step}s]"


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float

    def text(self) -> str:
        """Return it as PromQL."""
        return f"{self.value:.12g}"


FUNCTIONS = frozenset({
    "avg_over_time",
    "histogram_quantile",
    "increase",
    "last_over_time",
    "rate",
    "resets",
    "round",
})  # fmt: skip
AGGREGATIONS = frozenset({"sum", "avg", "max", "group"})
BINARY = frozenset({"+", "-", "*", "/", ">", ">=", "and", "or", "unless"})


@dataclass(frozen=True)
class Call:
    """A function of expressions."""

    function: str
    arguments: tuple[Expression, ...]

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ValueError(f"{self.function!r} is no function that is used here")

    def text(self) -> str:
        """Return it as PromQL."""
        return f"{self.function}({', '.join(one.text() for one in self.arguments)})"


@dataclass(frozen=True)
class Aggregation:
    """Series brought together by labels; without labels into one."""

    kind: str
    inner: Expression
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in AGGREGATIONS or not all(LABEL.fullmatch(label) for label in self.by):
            raise ValueError(f"{self.kind!r} by {self.by!r} is no aggregation that is used here")

    def text(self) -> str:
        """Return it as PromQL."""
        by = f" by ({', '.join(self.by)})" if self.by else ""
        return f"{self.kind}{by} ({self.inner.text()})"


@dataclass(frozen=True)
class Binary:
    """Two expressions and an operator, always in parentheses; series are of a pair by the labels `on`, or by all."""

    left: Expression
    operator: str
    right: Expression
    on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.operator not in BINARY or not all(LABEL.fullmatch(label) for label in self.on):
            raise ValueError(f"{self.operator!r} on {self.on!r} is no operator that is used here")

    def text(self) -> str:
        """Return it as PromQL."""
        on = f" on ({', '.join(self.on)})" if self.on else ""
        return f"({self.left.text()} {self.operator}{on} {self.right.text()})"


def call(function: str, *arguments: Expression) -> Call:
    """Call a function."""
    return Call(function, arguments)


def total(inner: Expression, by: Sequence[str] = ()) -> Aggregation:
    """Add series up."""
    return Aggregation("sum", inner, tuple(by))
