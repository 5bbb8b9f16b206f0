"""From a Gateway to the values of `charts/gateway`, without a look at the cluster.

The chart maps KubeSphere's fields (it can be used without the operator); what only the operator can know goes in as
`locked`, which the chart lays over everything else: names that are unique for each gateway, its scope, and the image
that the settings ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway_operator.crds.conditions import Reason
from gateway_operator.gateways import node_ports
from gateway_operator.gateways.claims import CLUSTER, PROJECT, Claim, mapping
from gateway_operator.gateways.naming import controller_value, nginx_name, service_name
from gateway_operator.gateways.verdicts import Notice
from gateway_operator.names import short_name
from gateway_operator.releases.values import merge
from gateway_operator.settings import GatewaySettings

Values = dict[str, Any]
ELECTION_LIMIT = 100
_PASSED_ON = ("controller", "service", "deployment", "ingressClass", "values")


def gateway_values(
    gateway: Mapping[str, Any], claim: Claim, projects: Sequence[str], settings: GatewaySettings
) -> Values:
    """Return the values of the Gateway's release; `projects` are the namespaces that have a project gateway."""
    spec = mapping(gateway, "spec")
    values: Values = {key: spec[key] for key in _PASSED_ON if spec.get(key)}
    if had := node_ports.values_of(node_ports.parse(node_ports.of(gateway) or "")[0]):
        values["values"] = merge(had, values.get("values") or {})
    return {
        **values,
        "fullnameOverride": service_name(claim.name),
        "nginxName": nginx_name(claim.name),
        "locked": locked_values(claim, projects, settings),
    }


def locked_values(claim: Claim, projects: Sequence[str], settings: GatewaySettings) -> Values:
    """Return the values of ingress-nginx that nobody but the operator decides."""
    is_project = claim.scope == PROJECT
    controller: Values = {
        "electionID": f"ingress-controller-leader-{short_name(claim.name, ELECTION_LIMIT)}",
        "ingressClass": claim.ingress_class,
        "ingressClassByName": is_project,  # a Role can't read IngressClass
        "watchIngressWithoutClass": claim.default,
        "ingressClassResource": {
            "name": claim.ingress_class,
            "enabled": not is_project,
            "controllerValue": controller_value(claim),
        },
        "scope": {"enabled": is_project, "namespace": claim.project},
        "statusExcludedNamespaces": sorted(projects) if claim.scope == CLUSTER else [],
    }
    image = image_values(settings)
    if image:
        controller["image"] = image
    return {"controller": controller, "rbac": {"scope": is_project}, "namespaceOverride": ""}


def image_values(settings: GatewaySettings) -> Values:
    """Return the image values that the settings put on every gateway."""
    image: Values = {}
    if settings.repository:
        image["repository"] = settings.repository
    if settings.tag:
        image["tag"] = settings.tag
    # A digest or the chroot form belong to the image that was replaced.
    return {**image, "digest": "", "digestChroot": "", "chroot": False} if image else {}


def overridden(values: Mapping[str, Any], locked: Mapping[str, Any]) -> tuple[Notice, ...]:
    """Return a remark for each value of the user's that a locked one replaces."""
    return tuple(
        Notice(
            Reason.VALUE_OVERRIDDEN, f"spec.values.{path} is decided by the operator; what is set there has no effect"
        )
        for path in _replaced(values, locked)
    )


def _replaced(values: Mapping[str, Any], locked: Mapping[str, Any], before: str = "") -> list[str]:
    found: list[str] = []
    for key in sorted(values.keys() & locked.keys()):
        mine, theirs = values[key], locked[key]
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            found += _replaced(mine, theirs, f"{before}{key}.")
        elif mine != theirs:
            found.append(f"{before}{key}")
    return found
