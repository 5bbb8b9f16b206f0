"""What the winner of a place is told where a policy is one of the two: who wants it, too, and doesn't get it.

A policy hears the other's name alone, for its status has the place; an Ingress gets an Event with the whole story.
Ingresses among themselves are upstream's: the loser hears of it, and nobody else.
"""

from __future__ import annotations

from gateway_operator.ingress.graph_types import HostRoute
from gateway_operator.ingress.parse import IngressRules
from gateway_operator.ingress.problems import Problem
from gateway_operator.ingress.split_types import CONTESTED, POLICY


def contested(winner: HostRoute, loser: IngressRules, place: str) -> list[Problem]:
    """Tell the one who has a path or a default backend."""
    where = winner.split.path.config.where if winner.split else ""
    return _told(winner.rules, loser, where, f"{place}, too, and doesn't get it: this Ingress is older")


def host_contested(name: str, owner: IngressRules, loser: IngressRules) -> list[Problem]:
    """Tell the one whose namespace has a host."""
    where = next((path.field for path in owner.paths if path.host == name), "") if owner.ref.kind == POLICY else ""
    return _told(owner, loser, where, f"host {name}, too, and doesn't get it: the older one's namespace has it")


def _told(winner: IngressRules, loser: IngressRules, where: str, text: str) -> list[Problem]:
    if POLICY not in {winner.ref.kind, loser.ref.kind}:
        return []
    who = f"{loser.ref.kind} {loser.ref}"
    return [Problem(winner.ref, CONTESTED, where, who if winner.ref.kind == POLICY else f"{who} wants {text}")]
