"""The net below validation: an Ingress whose text nginx refuses all the same is found, left out and named.

`nginx -t` names a file and a line; the renderer knows whose they are. Where that leads nowhere, halving does.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from gateway_operator.ingress.planner import Compiled
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.render.common import Rendered
from gateway_operator.ingress.snapshot import Object

_WHERE = re.compile(r"in \S*?/((?:servers|profiles)/[0-9a-f]+\.conf):(\d+)")


class Quarantine:
    """Which versions of which Ingresses are left out; a new version gets a new chance."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, Problem]] = {}

    def hold(self, obj: Object, stderr: str) -> None:
        """Leave an Ingress out until it changes."""
        ref = Ref.of(obj, "Ingress", "networking.k8s.io/v1")
        message = f"nginx refuses what this Ingress asks for, so it is left out until it changes: {_reason(stderr)}"
        self._held[ref.uid] = (_version(obj), Problem(ref, "Quarantined", "", message))

    def left_out(self, ingresses: Sequence[Object]) -> frozenset[str]:
        """Return the UIDs to leave out, after dropping those that changed or went."""
        if not self._held:
            return frozenset()
        versions = {obj["metadata"].get("uid", ""): _version(obj) for obj in ingresses}
        self._held = {uid: held for uid, held in self._held.items() if versions.get(uid) == held[0]}
        return frozenset(self._held)

    def told(self) -> list[dict[str, str]]:
        """Return who is left out and why, for `gateway-operator conf --blame`."""
        return [
            {"namespace": p.ref.namespace, "ingress": p.ref.name, "uid": p.ref.uid, "message": p.message}
            for p in self.problems
        ]

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


def _version(obj: Mapping[str, Any]) -> str:
    """The spec's generation: status and Event writes must not free a bad Ingress; annotations count as well."""
    meta = obj["metadata"]
    return f"{meta.get('generation', 0)} {sorted((meta.get('annotations') or {}).items())}"


def _reason(stderr: str) -> str:
    """Return nginx's sentence without paths of this pod."""
    match = re.search(r"\[emerg\] (?:\d+#\d+: )?(.*?)(?: in /\S+)?$", stderr, re.MULTILINE)
    return match[1][:300] if match else "no reason given"
