"""Which ingress classes a project can name and who serves them: gateways here, and controllers of others.

An Ingress needs nothing of ours: what other controllers serve is shown beside, and never claimed. Whoever can't see
which classes there are has to guess one (kubesphere/kubesphere#6240).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway_operator.gateways.claims import CLUSTER, Claim, mapping
from gateway_operator.gateways.naming import controller_value
from gateway_operator.kube import Api
from gateway_operator.web.entries import Entry

Object = dict[str, Any]
_DEFAULT = "ingressclass.kubernetes.io/is-default-class"


async def known_classes(api: Api) -> list[Object]:
    """Return the cluster's IngressClasses as they are now. Raises ApiError."""
    return (await api.list(await api.resource("networking.k8s.io/v1", "IngressClass"))).items


def shown(classes: Iterable[Mapping[str, Any]], entries: Iterable[Entry]) -> list[Object]:
    """Return the classes in the order of their names, each with the gateways among `entries` that serve it. Pure.

    A gateway that isn't installed serves nothing. A project's gateway goes by the name of its class alone, for which
    there need be no IngressClass object.
    """
    claims = sorted((e.claim for e in entries if e.claim.installed), key=lambda claim: claim.age)
    found = {one["metadata"]["name"]: _of_object(one) for one in classes}
    for claim in claims:
        if claim.ingress_class not in found and claim.scope != CLUSTER:
            found[claim.ingress_class] = _row(claim.ingress_class, controller_value(claim), exists=False)
    for row in found.values():
        row["gateways"] = [_server(claim) for claim in claims if _serves(claim, row)]
        row["managed"] = bool(row["gateways"])
    return [found[name] for name in sorted(found)]


def _serves(claim: Claim, row: Mapping[str, Any]) -> bool:
    if claim.scope == CLUSTER:
        return bool(row["controller"] == controller_value(claim))
    return bool(row["name"] == claim.ingress_class)


def _of_object(found: Mapping[str, Any]) -> Object:
    row = _row(found["metadata"]["name"], str(mapping(found, "spec").get("controller") or ""), exists=True)
    return row | {"default": mapping(found, "metadata", "annotations").get(_DEFAULT) == "true"}


def _row(name: str, controller: str, *, exists: bool) -> Object:
    return {"name": name, "controller": controller, "default": False, "exists": exists}


def _server(claim: Claim) -> Object:
    shown: Object = {"namespace": claim.namespace, "name": claim.name, "scope": claim.scope}
    return shown | ({"project": claim.project} if claim.project else {}) | {"withoutClass": claim.default}
