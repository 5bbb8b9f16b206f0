"""May a row use the CRD that the cluster has?

KubeSphere's own operator serves the same group with other versions and other rules. Running over its CRDs unasked
would take its gateways; so a row over a CRD of our groups starts only when our chart installed it, or when told to.
Kinds of other groups belong to their publishers and are not checked.
"""

from __future__ import annotations

from typing import Any

from gateway_operator.errors import Forbidden
from gateway_operator.kube import Api, Resource
from gateway_operator.releases import names
from gateway_operator.releases.watches import Watch

PART_OF = ("app.kubernetes.io/part-of", "gateway-operator")


def crd_problem(crd: dict[str, Any], watch: Watch) -> str | None:
    """Say why `watch` must not run over `crd`, or None."""
    name = crd["metadata"]["name"]
    stored = next((v["name"] for v in crd["spec"]["versions"] if v.get("storage")), None)
    if stored != watch.version:
        return (
            f"the CRD {name} stores version {stored}, not {watch.version}: install the CRDs of gateway-operator, "
            "or set adoptCrds to use it as it is"
        )
    if (crd["metadata"].get("labels") or {}).get(PART_OF[0]) != PART_OF[1]:
        return (
            f"the CRD {name} belongs to another installation (it lacks the label {PART_OF[0]}={PART_OF[1]}): remove "
            "that installation, or set adoptCrds to take its objects over"
        )
    return None


async def check_crd(api: Api, watch: Watch, resource: Resource, *, adopt: bool) -> str | None:
    """Fetch the CRD of a row and judge it; None when the row may start."""
    if adopt or watch.group not in names.OWN_GROUPS:
        return None
    crds = await api.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    try:
        crd = await api.find(crds, f"{resource.plural}.{resource.group}")
    except Forbidden as error:
        return f"may not read the CRD of {watch}: {error}"
    return crd_problem(crd, watch) if crd else None  # served by something else than a CRD
