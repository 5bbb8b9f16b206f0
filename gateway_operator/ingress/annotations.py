"""The annotations of one Ingress as typed values; what isn't honoured or is wrong becomes a problem, never silence.

A wrong value changes nothing and its paths go on with the gateway's own settings, but for what shuts people out (the
rows that `closes`): there the paths answer 503 until the value is mended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.crds.config_types import has_control_characters
from gateway_operator.ingress.annotation_access import AuthNotes, CorsNotes, LimitNotes
from gateway_operator.ingress.annotation_backend import BackendNotes, ExtraNotes
from gateway_operator.ingress.annotation_balancing import BalancingNotes, CanaryNotes
from gateway_operator.ingress.annotation_routing import RoutingNotes
from gateway_operator.ingress.annotation_rows import PREFIX, Risk, Row, Support
from gateway_operator.ingress.annotation_table import GROUP_ROWS, GROUPS, find, is_relevant
from gateway_operator.ingress.grammar import shown
from gateway_operator.ingress.problems import Problem, Ref

MAX_VALUE = 16384
_GROUP_OF = {row.key: group for group, rows in GROUP_ROWS.items() for row in rows}
_NOTHING: Mapping[str, Any] = {group: kind() for group, kind in GROUPS.items()}


@dataclass(frozen=True, slots=True)
class Annotations:
    """The typed values of one Ingress, by group. `closed` says why its paths must not be served, "" when they may."""

    routing: RoutingNotes = _NOTHING["routing"]
    backend: BackendNotes = _NOTHING["backend"]
    balancing: BalancingNotes = _NOTHING["balancing"]
    canary: CanaryNotes = _NOTHING["canary"]
    auth: AuthNotes = _NOTHING["auth"]
    cors: CorsNotes = _NOTHING["cors"]
    limits: LimitNotes = _NOTHING["limits"]
    extra: ExtraNotes = _NOTHING["extra"]
    closed: str = ""


NOTHING = Annotations()


@dataclass(frozen=True)
class ReadRules:
    """What the ConfigMap says about annotations: the highest risk that passes, and words that no value may hold."""

    risk: Risk = Risk.HIGH
    blocklist: tuple[str, ...] = ()


def read_annotations(
    ref: Ref, annotations: Mapping[str, str], rules: ReadRules | None = None
) -> tuple[Annotations, list[Problem]]:
    """Read what is honoured; tell what isn't (in one problem) and which values are wrong (one each)."""
    reading = _Reading(ref, rules or ReadRules())
    for key in sorted(annotations):
        if is_relevant(key):
            reading.take(key, str(annotations[key]).strip(), annotations)
    return reading.result(), reading.problems


class _Reading:
    """One Ingress being read."""

    def __init__(self, ref: Ref, rules: ReadRules) -> None:
        self.ref = ref
        self.rules = rules
        self.problems: list[Problem] = []
        self.values: dict[str, dict[str, Any]] = {}
        self.unknown: list[str] = []
        self.closed = ""

    def take(self, key: str, text: str, everything: Mapping[str, str]) -> None:
        row = find(key)
        if row is None or row.support is Support.UNSUPPORTED:
            if row is None or text.lower() not in {"", "false", "off"}:
                self.unknown.append(self._refused(key, row))
        elif text and not (key != row.key and str(everything.get(row.key, "")).strip()):
            self._read(key, row, text)

    def _read(self, key: str, row: Row, text: str) -> None:
        assert row.read is not None  # noqa: S101 - every row but the unsupported has a reader
        try:
            self._check(row, text)
            value = row.read(text)
        except ValueError as error:
            consequence = "its paths answer 503 until it is mended" if row.closes else "it is ignored"
            if row.fallback is not None:
                self.values.setdefault(_GROUP_OF[row.key], {})[row.field] = row.fallback
            message = f"{shown(text)}: {error}; {consequence}"
            self.problems.append(Problem(self.ref, "InvalidAnnotation", f"metadata.annotations[{key}]", message))
            if row.closes:
                self.closed = self.closed or f"annotation {row.name} is wrong"
        else:
            self.values.setdefault(_GROUP_OF[row.key], {})[row.field] = value

    def _check(self, row: Row, text: str) -> None:
        if row.risk > self.rules.risk:
            raise ValueError(f"needs annotations-risk-level {row.risk.name.capitalize()} in the ConfigMap")
        if len(text) > MAX_VALUE:
            raise ValueError(f"must not be longer than {MAX_VALUE} characters")
        if has_control_characters(text.replace("\n", "") if row.name == "response-headers" else text):
            raise ValueError("must not hold newlines or other control characters")
        word = next((word for word in self.rules.blocklist if word in text), None)
        if word is not None:
            raise ValueError("holds a word that annotation-value-word-blocklist forbids")

    def _refused(self, key: str, row: Row | None) -> str:
        name = shown(key.removeprefix(PREFIX))[1:-1]
        return f"{name} ({row.note})" if row else name

    def result(self) -> Annotations:
        if self.unknown:
            message = f"not honoured: {', '.join(self.unknown)}; the paths are served without"
            self.problems.append(Problem(self.ref, "UnsupportedAnnotation", "metadata.annotations", message))
        if not self.values and not self.closed:
            return NOTHING
        groups: dict[str, Any] = {group: GROUPS[group](**values) for group, values in self.values.items()}
        return Annotations(**groups, closed=self.closed)
