"""The scope rules: which Gateways are served when several want the same.

One pure function, because the reconciler and the API must give the same answer. In short: whoever holds something
keeps it, then the older wins; a refused Gateway is accepted by itself when its blocker is gone
(`docs/spec/gateway.md` has the rules in words).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway_operator.crds.conditions import Reason
from gateway_operator.gateways.claims import CLUSTER, PROJECT, Claim, claim_of
from gateway_operator.gateways.restrictions import own_refusal
from gateway_operator.gateways.verdicts import Refusal
from gateway_operator.settings import GatewaySettings

Object = Mapping[str, Any]
_LATEST = "9999-12-31T23:59:59Z"


def verdict(gateway: Object, peers: Sequence[Object], settings: GatewaySettings, *, installed: bool) -> Refusal | None:
    """Say why a Gateway is not served, or None; `peers` are all Gateways of the cluster."""
    return _World(peers, settings).refusal(gateway, claim_of(gateway, installed=installed))


def newcomer_verdict(gateway: Object, others: Sequence[Object], settings: GatewaySettings) -> Refusal | None:
    """Say why a Gateway would not be served if it came after all others, or None."""
    young = {**gateway, "metadata": {**gateway["metadata"], "creationTimestamp": _LATEST}}
    return verdict(young, [*others, young], settings, installed=False)


def served_projects(peers: Sequence[Object], settings: GatewaySettings) -> tuple[str, ...]:
    """Return the namespaces that have a project gateway of their own, in order."""
    world = _World(peers, settings)
    return tuple(sorted({claim.project for obj, claim in world.projects if world.accepts(obj, claim)}))


class _World:
    """All Gateways, and the decisions made about them so far."""

    def __init__(self, peers: Sequence[Object], settings: GatewaySettings) -> None:
        claims = [(obj, claim_of(obj)) for obj in peers]
        self.clusters = [pair for pair in claims if pair[1].scope == CLUSTER]
        self.projects = [pair for pair in claims if pair[1].scope == PROJECT]
        self._by_project: dict[str, list[tuple[Object, Claim]]] = {}
        for pair in self.projects:
            self._by_project.setdefault(pair[1].project, []).append(pair)
        self._settings = settings
        self._decided: dict[str, bool] = {}

    def accepts(self, gateway: Object, claim: Claim) -> bool:
        """Tell whether a Gateway counts: it runs, or nothing is against it."""
        if claim.key not in self._decided:
            self._decided[claim.key] = claim.installed or self.refusal(gateway, claim) is None
        return self._decided[claim.key]

    def refusal(self, gateway: Object, claim: Claim) -> Refusal | None:
        """Apply the rules in the order in which a user can mend them: the Gateway's own first, then its peers."""
        own = own_refusal(gateway, claim, self._settings)
        if own is not None:
            return own
        return self._project_refusal(claim) if claim.scope == PROJECT else self._cluster_refusal(claim)

    def _project_refusal(self, claim: Claim) -> Refusal | None:
        for obj, other in self._by_project.get(claim.project, ()):
            if other.key != claim.key and other.rank < claim.rank and self.accepts(obj, other):
                text = (
                    f'project "{claim.project}" has the gateway {other.key} already; delete one of them, or let one '
                    "serve another project"
                )
                return Refusal(Reason.PROJECT_GATEWAY_EXISTS, text)
        if claim.holds:  # it was there first: both entrances go on
            return None
        for obj, other in self.clusters:
            if other.key != claim.key and other.age < claim.age and self.accepts(obj, other):
                going = " (being deleted)" if obj["metadata"].get("deletionTimestamp") else ""
                text = (
                    f"the cluster gateway {other.key}{going} serves all projects; no new project gateway is installed "
                    "while it exists, and this one is as soon as it is gone"
                )
                return Refusal(Reason.CLUSTER_GATEWAY_EXISTS, text)
        return None

    def _cluster_refusal(self, claim: Claim) -> Refusal | None:
        before = [(obj, other) for obj, other in self.clusters if other.key != claim.key and other.rank < claim.rank]
        for obj, other in before:
            if other.ingress_class == claim.ingress_class and self.accepts(obj, other):
                text = (
                    f'ingress class "{claim.ingress_class}" is served by the cluster gateway {other.key}; give this '
                    "one a class of its own in spec.ingressClass.name"
                )
                return Refusal(Reason.INGRESS_CLASS_TAKEN, text)
        for obj, other in before:
            if claim.default and other.default and self.accepts(obj, other):
                text = (
                    f"Ingresses without a class are served by the cluster gateway {other.key}; set "
                    "spec.ingressClass.default of one of them to false"
                )
                return Refusal(Reason.DEFAULT_CLASS_TAKEN, text)
        return None
