"""What the webhook says of one Ingress: refused with the sentence that the controller would put into an Event.

Only what a write adds is refused. What was wrong in the stored object already doesn't stop a change of something else,
or nobody could label, mend or delete an Ingress that is older than the webhook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.crds.config_types import boolean
from gateway_operator.ingress.admission.index import PathIndex
from gateway_operator.ingress.annotation_refused import SNIPPETS
from gateway_operator.ingress.annotation_rows import PREFIX
from gateway_operator.ingress.annotation_table import find
from gateway_operator.ingress.parse import IngressRules, PathRule
from gateway_operator.ingress.problems import Problem

Object = Mapping[str, Any]
Parse = Callable[[Object], IngressRules]

# Everything else that is found is told as a warning: the Ingress is served, in part otherwise than it says.
REFUSED = frozenset({"InvalidHost", "InvalidPath", "InvalidAnnotation", "UnsupportedBackend", "PathConflict"})
MOST_WARNINGS = 10
LONGEST_MESSAGE = 4096


@dataclass(frozen=True)
class Verdict:
    """The answer to a review; `message` says why not, `warnings` are for the writer's screen.

    `checked` says that there was something to judge.
    """

    allowed: bool
    message: str = ""
    warnings: tuple[str, ...] = ()
    checked: bool = False


class Judge:
    """Judges Ingresses as the controller would: `is_ours` and `parse` are the controller's own."""

    def __init__(self, index: PathIndex, *, is_ours: Callable[[Object], bool], parse: Parse) -> None:
        self._index = index
        self._is_ours = is_ours
        self._parse = parse

    def judge(self, new: Object, old: Object | None = None) -> Verdict:
        """Judge a new Ingress, or the change of an old one."""
        if not self._is_ours(new) or new["metadata"].get("deletionTimestamp") or (old and _same(new, old)):
            return Verdict(allowed=True)
        known = {(p.reason, p.message) for p in self._problems(old)} if old and self._is_ours(old) else set()
        problems = [p for p in self._problems(new) if (p.reason, p.message) not in known]
        refused = [p.text for p in problems if p.reason in REFUSED]
        warnings = tuple(p.text for p in problems if p.reason not in REFUSED)[:MOST_WARNINGS]
        return Verdict(not refused, "; ".join(refused)[:LONGEST_MESSAGE], warnings, checked=True)

    def _problems(self, obj: Object) -> list[Problem]:
        rules = self._parse(obj)
        return [*rules.problems, *_snippets(obj, rules), *self._conflicts(obj, rules)]

    def _conflicts(self, obj: Object, rules: IngressRules) -> Iterator[Problem]:
        """Name the paths that an Ingress of ours has already; canaries share a path by their nature."""
        if _is_canary(obj):
            return
        free = {_place(path): path for path in rules.paths}
        for rival in self._index.rivals(obj):
            if not free:
                return
            if not self._is_ours(rival) or _is_canary(rival):
                continue
            taken = self._parse(rival)
            for place in [_place(path) for path in taken.paths]:
                path = free.pop(place, None)
                if path is not None:
                    kind = "Exact" if path.exact else "Prefix"
                    message = f"{kind} path {path.path} of host {path.host or '*'} is served by Ingress {taken.ref}"
                    yield Problem(rules.ref, "PathConflict", path.field, message)


def _snippets(obj: Object, rules: IngressRules) -> Iterator[Problem]:
    """Name the snippets: others' annotations may be done without, but who writes a snippet counts on it."""
    for key in sorted(obj["metadata"].get("annotations") or {}):
        row = find(key)
        if row is not None and row.name in SNIPPETS:
            yield Problem(rules.ref, "InvalidAnnotation", f"metadata.annotations[{key}]", row.note)


def _place(path: PathRule) -> tuple[str, str, bool]:
    return path.host, *path.key


def _is_canary(obj: Object) -> bool:
    try:
        return bool(boolean((obj["metadata"].get("annotations") or {}).get(f"{PREFIX}canary", "false")))
    except ValueError:
        return False


def _same(new: Object, old: Object) -> bool:
    """Tell whether a write leaves everything as it is that the controller reads."""
    return bool(
        new.get("spec") == old.get("spec")
        and (new["metadata"].get("annotations") or {}) == (old["metadata"].get("annotations") or {})
    )
