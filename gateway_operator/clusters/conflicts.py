"""Who serves a host and path that several policies of one gateway want. Pure.

The oldest wins, then namespace and name; a namespace that has a host first keeps it for itself. Losers are told who
won, winners who else wants it; losers take over by themselves once the winner is gone, because every answer is computed
from all policies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from gateway_operator.clusters.policies import DEFAULT, PathRule, Policy, Problem
from gateway_operator.crds.traffic import TrafficReason

Shared = Callable[[str, str, str], bool]  # (host, owner's namespace, other namespace): may the other use it, too?
_Holder = tuple[Policy, str]  # who has a place, and by which of its fields


def not_shared(_host: str, _owner: str, _other: str) -> bool:
    """Share no host."""
    return False


def settle(policies: Iterable[Policy], *, shared: Shared = not_shared) -> list[Policy]:
    """Return the policies, oldest first, without the paths that they lose, with problems and contests that say so."""
    places = _Places(shared)
    settled = [places.settle(policy) for policy in sorted(policies, key=lambda p: p.age)]
    return [
        replace(policy, contests=tuple(dict.fromkeys(found))) if (found := places.contests.get(policy.key)) else policy
        for policy in settled
    ]


@dataclass
class _Places:
    """Who has what so far."""

    shared: Shared
    held: dict[tuple[str, str, str], _Holder] = field(default_factory=dict)
    owners: dict[str, _Holder] = field(default_factory=dict)
    contests: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)

    def settle(self, policy: Policy) -> Policy:
        """Give a policy what is left for it."""
        kept, problems = [], list(policy.problems)
        for path in policy.paths:
            holder = self._holder(policy, path)
            if holder is None:
                self.held[path.place] = (policy, path.where)
                kept.append(path)
                continue
            winner, where = holder
            text = f"{winner} has {_describe(*path.place)}, because it is older"
            problems.append(Problem(path.where, TrafficReason.CONFLICTED, text))
            self.contests.setdefault(winner.key, []).append((where, str(policy)))
        return replace(policy, paths=tuple(kept), problems=tuple(problems))

    def _holder(self, policy: Policy, path: PathRule) -> _Holder | None:
        """Return who keeps a path from a policy."""
        owner = None
        if path.path_type != DEFAULT and path.host:
            owner = self.owners.setdefault(path.host, (policy, path.where))
        if path.place in self.held or owner is None:
            return self.held.get(path.place)
        mine = owner[0].namespace == policy.namespace or self.shared(path.host, owner[0].namespace, policy.namespace)
        return None if mine else owner


def _describe(host: str, path_type: str, path: str) -> str:
    if path_type == DEFAULT:
        return "the default backend"
    return f"the path {path} ({path_type}) of {f'host {host}' if host else 'all other hosts'}"
