"""Who serves a host and path that several policies of one gateway want. Pure.

The oldest wins, then namespace and name; a namespace that has a host first keeps it for itself. Losers are told who
won, and take over by themselves once the winner is gone, because every answer is computed from all policies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from gateway_operator.clusters.policies import DEFAULT, Policy, Problem
from gateway_operator.crds.traffic import TrafficReason

Shared = Callable[[str, str, str], bool]  # (host, owner's namespace, other namespace): may the other use it, too?


def not_shared(_host: str, _owner: str, _other: str) -> bool:
    """Share no host."""
    return False


@dataclass(frozen=True)
class Foreign:
    """A place that something else holds, such as an Ingress: its name for people, its age and its namespace."""

    name: str
    created: str
    namespace: str


def settle(
    policies: Iterable[Policy],
    *,
    foreign: Mapping[tuple[str, str, str], Foreign] | None = None,
    shared: Shared = not_shared,
) -> list[Policy]:
    """Return the policies, oldest first, without the paths that they lose, and with the problems that say so.

    `foreign` maps (host, type, path) to what holds it beside policies.
    """
    held: dict[tuple[str, str, str], tuple[str, str]] = {}
    owners: dict[str, tuple[str, str]] = {}
    others = foreign or {}
    return [_settle_one(policy, held, owners, others, shared) for policy in sorted(policies, key=lambda p: p.age)]


def _settle_one(
    policy: Policy,
    held: dict[tuple[str, str, str], tuple[str, str]],
    owners: dict[str, tuple[str, str]],
    foreign: Mapping[tuple[str, str, str], Foreign],
    shared: Shared,
) -> Policy:
    kept, problems = [], list(policy.problems)
    for path in policy.paths:
        winner = held.get(path.place, ("", ""))[0]
        other = foreign.get(path.place)
        if other is not None and (other.created, other.namespace) <= (policy.created, policy.namespace):
            winner = other.name
        owner = owners.setdefault(path.host, (policy.namespace, str(policy))) if path.path_type != DEFAULT else None
        if not winner and owner and owner[0] != policy.namespace and path.host:
            winner = "" if shared(path.host, owner[0], policy.namespace) else owner[1]
        if winner:
            text = f"{winner} has {_describe(*path.place)}, because it is older"
            problems.append(Problem(path.where, TrafficReason.CONFLICTED, text))
            continue
        held[path.place] = (str(policy), policy.namespace)
        kept.append(path)
    return replace(policy, paths=tuple(kept), problems=tuple(problems))


def _describe(host: str, path_type: str, path: str) -> str:
    if path_type == DEFAULT:
        return "the default backend"
    return f"the path {path} ({path_type}) of {f'host {host}' if host else 'all other hosts'}"
