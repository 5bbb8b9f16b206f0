"""Whose a Gateway is: the project that it may serve, or the cluster. Every view of it goes by this answer.

A Gateway that claims more than its namespace allows is refused by the scope rules, and belongs to the namespace that
it lies in, so that nobody puts an object of his own before another project's eyes.
"""

from __future__ import annotations

from gateway_operator.gateways.claims import CLUSTER, Claim
from gateway_operator.gateways.restrictions import is_trusted
from gateway_operator.settings import GatewaySettings


def project_of(claim: Claim, settings: GatewaySettings) -> str | None:
    """Return the project whose gateway it is; None: it is the cluster's."""
    if not is_trusted(claim, settings):
        return claim.namespace
    return None if claim.scope == CLUSTER else claim.project
