"""Who may speak for a host that a policy and Ingresses name: it belongs to the namespace that had it first.

Ingresses among themselves merge over namespaces, as upstream's do; a policy doesn't join another namespace's host, and
a host that a policy of its owner holds takes no younger Ingress of another namespace. A namespace can grant its hosts
to others. Policies among themselves were settled by the operator.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway_operator.ingress.parse import IngressRules
from gateway_operator.ingress.problems import Problem
from gateway_operator.ingress.split_contests import host_contested
from gateway_operator.ingress.split_rules import Grants, PolicyRules
from gateway_operator.ingress.split_types import CONFLICTED, POLICY


def settle_host(name: str, contenders: Sequence[IngressRules]) -> tuple[Sequence[IngressRules], list[Problem]]:
    """Return who may stay of those that name a host (the oldest first), and what the others are told."""
    grants = next((item.grants for item in contenders if isinstance(item, PolicyRules)), None)
    if not name or grants is None:
        return contenders, []
    kept: list[IngressRules] = []
    problems: list[Problem] = []
    holder: PolicyRules | None = None  # the oldest policy that stays
    for item in contenders:
        owner = kept[0] if kept else item
        if isinstance(item, PolicyRules):
            mine = isinstance(owner, PolicyRules) or _may_use(owner, item, grants)
        else:
            mine = holder is None or _may_use(holder, item, grants)
        if not mine:
            problems += [*_told(name, item, holder or owner), *host_contested(name, holder or owner, item)]
            continue
        kept.append(item)
        holder = holder or (item if isinstance(item, PolicyRules) else None)
    return kept, problems


def _may_use(owner: IngressRules, other: IngressRules, grants: Grants) -> bool:
    mine, theirs = owner.ref.namespace, other.ref.namespace
    return mine == theirs or bool({theirs, "*"} & set(grants.get(mine, ())))


def _told(name: str, loser: IngressRules, owner: IngressRules) -> list[Problem]:
    text = f"host {name} belongs to namespace {owner.ref.namespace}: the older {owner.ref.kind} {owner.ref} has it"
    if loser.ref.kind == POLICY:
        return [Problem(loser.ref, CONFLICTED, path.field, text) for path in loser.paths if path.host == name]
    return [Problem(loser.ref, "HostConflict", "spec.rules", f"{text}; its paths of this host are left out")]
