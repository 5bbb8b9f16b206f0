"""Compares one live object with its chart: what differs, what of that counts, and how sure that is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway_operator.releases.added import additions
from gateway_operator.releases.diff import gaps
from gateway_operator.releases.drift_rules import IgnoreRule
from gateway_operator.releases.kinds import group_of
from gateway_operator.releases.leave import ALWAYS, unset, without
from gateway_operator.releases.managers import Role, role_of
from gateway_operator.releases.ownership import (
    Path,
    Tree,
    entries,
    last_writer,
    owners,
    owns_all,
    status_writers,
    tree_of,
)
from gateway_operator.releases.pointers import to_path


@dataclass(frozen=True)
class Comparison:
    """How a live object differs from its chart, fields that are left alone aside.

    `wanted` is what may be applied; `gaps` are suspicions (see diff), `certain` says that people own one of them or
    added something.
    """

    wanted: dict[str, Any]
    gaps: tuple[Path, ...] = ()
    added: tuple[Path, ...] = ()
    certain: bool = False

    @property
    def differs(self) -> bool:
        """True when there is something to look at."""
        return bool(self.gaps or self.added)


class Owners:
    """The managers of one object by their role."""

    def __init__(self, live: dict[str, Any], rules: Iterable[IgnoreRule] = ()) -> None:
        self._live = live
        self._more = tuple(m for rule in rules for m in rule.managers)
        self._writers = status_writers(live)
        self.trees: dict[Role, list[Tree]] = {role: [] for role in Role}
        for entry in entries(live):
            self.trees[self.role(entry.get("manager", ""))].append(tree_of(entry))

    def role(self, manager: str) -> Role:
        """Say who a manager of this object is."""
        return role_of(manager, status_writers=self._writers, more=self._more)

    def roles(self, path: Path) -> set[Role]:
        """Say who owns a field."""
        return {self.role(manager) for manager in owners(self._live, path)}

    @property
    def people(self) -> list[Tree]:
        """What people own; not what they scaled, which is one field that charts have."""
        found = [e for e in entries(self._live) if e.get("subresource") != "scale"]
        return [tree_of(e) for e in found if self.role(e.get("manager", "")) is Role.PERSON]

    @property
    def everybody(self) -> list[Tree]:
        """What anybody owns."""
        return [tree for trees in self.trees.values() for tree in trees]

    def culprits(self, paths: Sequence[Path]) -> tuple[str, ...]:
        """Name the people who own these fields; of what was removed, who wrote last."""
        found = {
            m for path in paths for m in owners(self._live, path) if self.role(m) in {Role.PERSON, Role.CONTROLLER}
        }
        if not found:
            ours = {e.get("manager", "") for e in entries(self._live)}
            last = last_writer(self._live, without={m for m in ours if self.role(m) in {Role.HELM, Role.OURS}})
            found = {last} if last else set()
        return tuple(sorted(found))


def compare(wanted: dict[str, Any], live: dict[str, Any], rules: Sequence[IgnoreRule] = ()) -> Comparison:
    """Compare; `rules` are those for this object (see drift_rules.rules_for)."""
    who = Owners(live, rules)
    named = [to_path(pointer) for rule in rules for pointer in rule.paths]
    for pattern in [*ALWAYS, *named]:
        wanted = without(wanted, live, pattern, who.everybody, who.trees[Role.HELM])
    found = gaps(wanted, live)
    for path in [p for p in found if who.roles(p) == {Role.CONTROLLER}]:
        wanted = without(wanted, live, path, who.everybody, who.trees[Role.HELM])
    left = gaps(wanted, live)
    others = [t for role in (Role.HELM, Role.OURS, Role.CONTROLLER) for t in who.trees[role]]
    spared = [*ALWAYS, *named, *unset(group_of(live))]
    more = additions(wanted, live, people=who.people, others=others, spared=spared)
    certain = bool(more.removable or more.grown) or any(Role.PERSON in who.roles(p) for p in left)
    return Comparison(wanted, tuple(dict.fromkeys([*left, *more.grown])), more.removable, certain)


def stands(wanted: dict[str, Any], applied: Sequence[Tree], updated: Sequence[Tree]) -> bool:
    """Tell by ownership alone that an object is what its chart says: Helm still owns every field of it.

    The trees are Helm's (see sightings.proof_of); whoever changes or removes a field takes it from them.
    """
    meta = {k: v for k, v in wanted["metadata"].items() if k in {"labels", "annotations"}}
    body = {k: v for k, v in wanted.items() if k not in {"apiVersion", "kind", "metadata", "status"}}
    return bool(applied or updated) and owns_all({**body, "metadata": meta}, applied, updated)
