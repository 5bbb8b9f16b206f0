"""The net below validation: an Ingress whose text nginx refuses all the same is found, left out and named.

`nginx -t` names a file and a line; the renderer knows whose they are. Where that leads nowhere, halving does.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

from gateway_operator.ingress.planner import Compiled
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.render.common import Rendered
from gateway_operator.ingress.snapshot import Object

_WHERE = re.compile(r"in \S*?/((?:servers|profiles)/[0-9a-f]+\.conf):(\d+)")


class Quarantine:
    """Which versions of which Ingresses are left out, and which wait to be judged; a new version gets a new chance."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, Problem]] = {}
        self._waiting: dict[str, tuple[str, Object | None]] = {}

    def hold(self, obj: Object, stderr: str) -> None:
        """Leave an Ingress out until it changes."""
        ref = Ref.of(obj, "Ingress", "networking.k8s.io/v1")
        message = f"nginx refuses what this Ingress asks for, so it is left out until it changes: {_reason(stderr)}"
        self._held[ref.uid] = (version_of(obj), Problem(ref, "Quarantined", "", message))
        self._waiting.pop(ref.uid, None)

    def holds(self, uid: str) -> bool:
        """Tell whether an Ingress is left out."""
        return uid in self._held

    def let_wait(self, obj: Object, good: Object | None) -> None:
        """Keep an Ingress at its last good form, or out where it has none, until it is judged or changes."""
        self._waiting[uid_of(obj)] = (version_of(obj), good)

    def admit(self, uid: str) -> None:
        """End an Ingress's wait."""
        self._waiting.pop(uid, None)

    @property
    def waits(self) -> bool:
        """Tell whether anybody waits."""
        return bool(self._waiting)

    def waiting(self, ingresses: Sequence[Object]) -> list[Object]:
        """Return those of the Ingresses that wait, as they are now."""
        return [obj for obj in ingresses if uid_of(obj) in self._waiting] if self._waiting else []

    def admitted(self, ingresses: Sequence[Object]) -> tuple[Sequence[Object], frozenset[str]]:
        """Return what to build from: the Ingresses, some in their last good form, and the UIDs to leave out.

        Those that changed or went are forgotten.
        """
        if not self._held and not self._waiting:
            return ingresses, frozenset()
        versions = {uid_of(obj): version_of(obj) for obj in ingresses}
        self._held = {uid: held for uid, held in self._held.items() if versions.get(uid) == held[0]}
        self._waiting = {uid: kept for uid, kept in self._waiting.items() if versions.get(uid) == kept[0]}
        if not self._waiting:
            return ingresses, frozenset(self._held)
        former = {uid: good for uid, (_, good) in self._waiting.items() if good is not None}
        left_out = frozenset(self._held) | (self._waiting.keys() - former.keys())
        return tuple(former.get(uid_of(obj), obj) for obj in ingresses), left_out

    def told(self) -> list[dict[str, str]]:
        """Return who is left out and why, for `gateway-operator conf --blame`."""
        return [
            {"namespace": p.ref.namespace, "ingress": p.ref.name, "uid": p.ref.uid, "message": p.message}
            for p in self.problems
        ]

    def first(self, most: int) -> tuple[tuple[str, str], ...]:
        """Return the first of those that are left out by name, each with why."""
        named = sorted((f"{p.ref.namespace}/{p.ref.name}", p.message) for p in self.problems)
        return tuple(named[:most])

    @property
    def problems(self) -> list[Problem]:
        """What to tell the owners."""
        return [problem for _, problem in self._held.values()]


def blame(compiled: Compiled, rendered: Rendered, stderr: str) -> str:
    """Return the UID of the Ingress that nginx's complaint leads to; "" when it leads to none."""
    match = _WHERE.search(stderr)
    if match is None:
        return ""
    owner = rendered.owner_at(match[1], int(match[2]))
    if not owner:
        identity = match[1].partition("/")[2].removesuffix(".conf")
        owners = compiled.index.get(identity, {}).get("ingresses") or []
        owner = owners[0] if len(owners) == 1 else ""
    return str(compiled.index.get(owner, {}).get("uid", "")) if owner else ""


async def find_by_halving(uids: Sequence[str], fails_with_only: Callable[[frozenset[str]], Awaitable[bool]]) -> str:
    """Find one Ingress that is enough to make nginx refuse; "" when none alone is."""
    suspects = list(uids)
    while len(suspects) > 1:
        half = suspects[: len(suspects) // 2]
        suspects = half if await fails_with_only(frozenset(half)) else suspects[len(half) :]
    return suspects[0] if suspects and await fails_with_only(frozenset(suspects)) else ""


def uid_of(obj: Object) -> str:
    """Return an object's UID."""
    return str(obj["metadata"].get("uid", ""))


def version_of(obj: Object) -> str:
    """The spec's generation: status and Event writes must not free a bad Ingress; annotations count as well."""
    meta = obj["metadata"]
    return f"{meta.get('generation', 0)} {sorted((meta.get('annotations') or {}).items())}"


def _reason(stderr: str) -> str:
    """Return nginx's sentence without paths of this pod."""
    match = re.search(r"\[emerg\] (?:\d+#\d+: )?(.*?)(?: in /\S+)?$", stderr, re.MULTILINE)
    return match[1][:300] if match else "no reason given"
