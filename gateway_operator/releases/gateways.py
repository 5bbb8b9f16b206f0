"""What is special about Gateway and Nginx, as the engine wants to hear it.

A Gateway becomes one Nginx by `charts/gateway`; an Nginx becomes a running gateway by `charts/ingress-nginx`. Both go
through the same engine, and all that differs is here and in the modules beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway_operator.crds.base import GROUP
from gateway_operator.crds.conditions import Reason
from gateway_operator.names import release_name
from gateway_operator.releases.gateway_claims import CLUSTER, Claim, claim_of, mapping
from gateway_operator.releases.gateway_status import gateway_status, nginx_status
from gateway_operator.releases.gateway_values import gateway_values, image_values, overridden
from gateway_operator.releases.kinds import KINDS, LiveObjects, Notice, ReleasePlan
from gateway_operator.releases.restrictions import config_notices, config_refusal, is_native, nginx_config
from gateway_operator.releases.scopes import served_projects, verdict
from gateway_operator.releases.values import merge
from gateway_operator.settings import GatewaySettings

Object = dict[str, Any]


class GatewayKind:
    """The rules of Gateway."""

    def plan(self, obj: Object, peers: Sequence[Object], settings: GatewaySettings, *, installed: bool) -> ReleasePlan:
        """Judge the Gateway among its peers and give its values."""
        claim = claim_of(obj, installed=installed)
        projects = served_projects(peers, settings) if claim.scope == CLUSTER else ()
        values = gateway_values(obj, claim, projects, settings)
        return ReleasePlan(
            release_name(claim.name),
            values,
            refusal=verdict(obj, peers, settings, installed=installed),
            notices=_gateway_notices(obj, claim, values),
        )

    def peers_affected(self, obj: Object) -> bool:
        """Every Gateway may block others: by its scope, its project or its class."""
        del obj
        return True

    def status(self, obj: Object, live: LiveObjects) -> dict[str, Any]:
        """Tell scope and class, and what its Nginx says of addresses and pods."""
        claim = claim_of(obj)
        claimed: dict[str, Any] = {"scope": claim.scope, "ingressClass": claim.ingress_class}
        if claim.project:
            claimed["project"] = claim.project
        return gateway_status(obj, live, claimed)


class NginxKind:
    """The rules of Nginx: the spec is the values document; only the settings' image and the config check are ours."""

    def plan(self, obj: Object, peers: Sequence[Object], settings: GatewaySettings, *, installed: bool) -> ReleasePlan:
        """Take the spec, with the image of the settings on top."""
        del peers, installed
        spec = obj.get("spec") or {}
        image = image_values(settings)
        locked = {"controller": {"image": image}} if image else {}
        controller = mapping(spec, "controller")
        config = mapping(controller, "config")
        native = is_native(controller, settings)
        return ReleasePlan(
            release_name(obj["metadata"]["name"]),
            merge(spec, locked),
            refusal=config_refusal(config, strict=native),
            notices=(
                *overridden(_named_image(spec), locked),
                *(config_notices(config) if native and not _from_gateway(obj) else ()),
            ),
        )

    def peers_affected(self, obj: Object) -> bool:
        """No Nginx looks at another."""
        del obj
        return False

    def status(self, obj: Object, live: LiveObjects) -> dict[str, Any]:
        """Tell scope, addresses, ports and pods."""
        return nginx_status(obj, live)


def register_kinds() -> None:
    """Make the rules known to the engine."""
    KINDS[GROUP, "Gateway"] = GatewayKind()
    KINDS[GROUP, "Nginx"] = NginxKind()


def _gateway_notices(obj: Object, claim: Claim, values: Mapping[str, Any]) -> tuple[Notice, ...]:
    notices = [*overridden(mapping(obj, "spec", "values"), values["locked"])]
    if values["locked"]["controller"].get("image") and _named_image(mapping(obj, "spec", "values")):
        notices = [n for n in notices if "controller.image." not in n.message]
        notices += overridden(_named_image(mapping(obj, "spec", "values")), values["locked"])
    scope = mapping(obj, "spec", "controller", "scope")
    if claim.scope == CLUSTER and scope.get("namespace"):
        text = "spec.controller.scope.namespace has no effect while spec.controller.scope.enabled is false: all namespaces are served"
        notices.append(Notice(Reason.FIELD_IGNORED, text))
    return (*notices, *config_notices(nginx_config(obj)))


def _named_image(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the values that names an image."""
    image = mapping(values, "controller", "image")
    named = {key: image[key] for key in ("repository", "tag") if image.get(key)}
    return {"controller": {"image": named}} if named else {}


def _from_gateway(obj: Object) -> bool:
    """Tell whether a Gateway made this Nginx; the Gateway has given the remarks already."""
    return any(owner.get("kind") == "Gateway" for owner in obj["metadata"].get("ownerReferences") or ())
