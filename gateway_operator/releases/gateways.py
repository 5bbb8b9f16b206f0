"""What is special about Gateway and Nginx, as the engine wants to hear it.

A Gateway becomes one Nginx by `charts/gateway`; an Nginx becomes a running gateway by `charts/ingress-nginx`. Both go
through the same engine, and all that differs is here and in the modules beside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gateway_operator.crds import traffic
from gateway_operator.crds.base import GROUP
from gateway_operator.crds.conditions import Reason
from gateway_operator.gateways import node_ports
from gateway_operator.gateways.claims import CLUSTER, Claim, claim_of, mapping
from gateway_operator.gateways.restrictions import config_notices, config_refusal, is_native, nginx_config
from gateway_operator.gateways.scopes import served_projects, verdict
from gateway_operator.gateways.verdicts import Notice
from gateway_operator.names import release_name
from gateway_operator.releases.gateway_status import gateway_status, nginx_status
from gateway_operator.releases.gateway_values import gateway_values, image_values, overridden
from gateway_operator.releases.kinds import KINDS, LiveObjects, ReleasePlan, Traffic
from gateway_operator.releases.policies import Mirrors, PolicyKind, no_mirrors
from gateway_operator.releases.values import merge
from gateway_operator.settings import GatewaySettings
from gateway_operator.traffic.gateways import Assignment, Quarantined

Object = dict[str, Any]
Splits = Callable[[str, str], Assignment | None]  # namespace and name of an Nginx
Quarantines = Callable[[str, str], Quarantined | None]
_SHOWN = 10
OF_GATEWAY = f"{GROUP}/gateway"  # the annotation that charts/gateway puts on its Nginx


def no_quarantines(_namespace: str, _name: str) -> Quarantined | None:
    """Know nothing of what pods say."""
    return None


class GatewayKind:
    """The rules of Gateway."""

    keeps_node_ports = True  # for the next one of its place, when it is deleted

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
        return gateway_status(live, claimed)


class NginxKind:
    """The rules of Nginx: the spec is the values document; image, config check and split config are ours.

    `splits` tells what the gateway of that namespace and name is told of policies, None while that isn't known yet.
    Without it, whoever writes the Nginx decides. `quarantines` tells whom its pods leave out, None while none has told.
    """

    def __init__(self, splits: Splits | None = None, quarantines: Quarantines = no_quarantines) -> None:
        self._splits = splits
        self._quarantines = quarantines

    def plan(self, obj: Object, peers: Sequence[Object], settings: GatewaySettings, *, installed: bool) -> ReleasePlan:
        """Take the spec, with the image of the settings on top."""
        del peers, installed
        spec = obj.get("spec") or {}
        image = image_values(settings)
        controller = mapping(spec, "controller")
        config = mapping(controller, "config")
        native = is_native(controller, settings)
        remarks = config_notices(config) if native and not _from_gateway(obj) else ()
        values = merge(spec, {"controller": {"image": image}}) if image else spec
        moving = Traffic()
        told: tuple[Notice, ...] = ()
        if self._splits and native:
            moving, told = _traffic(self._splits(obj["metadata"]["namespace"], obj["metadata"]["name"]))
            values, own = _without_splits(values)
            told = (*own, *told)
        return ReleasePlan(
            release_name(obj["metadata"]["name"]),
            values,
            refusal=config_refusal(config, strict=native),
            notices=(*_replaced_image(spec, image), *told, *remarks),
            traffic=moving,
        )

    def peers_affected(self, obj: Object) -> bool:
        """No Nginx looks at another."""
        del obj
        return False

    def status(self, obj: Object, live: LiveObjects) -> dict[str, Any]:
        """Tell scope, addresses, ports and pods."""
        meta = obj["metadata"]
        return nginx_status(obj, live, self._quarantines(meta["namespace"], meta["name"]))


def register_kinds(
    splits: Splits | None = None, mirrors: Mirrors = no_mirrors, quarantines: Quarantines = no_quarantines
) -> None:
    """Make the rules known to the engine."""
    KINDS[traffic.GROUP, "ClusterTrafficPolicy"] = PolicyKind(mirrors)
    KINDS[GROUP, "Gateway"] = GatewayKind()
    KINDS[GROUP, "Nginx"] = NginxKind(splits, quarantines)


def _traffic(assigned: Assignment | None) -> tuple[Traffic, tuple[Notice, ...]]:
    """Return the values that hold a gateway's policies, and what to say of those that have no room in them."""
    if assigned is None:
        return Traffic(known=False), ()
    notices = []
    if left := assigned.left_out:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        names = ", ".join("/".join(key) for key in left[:_SHOWN])
        text = f"{len(left)} of the ClusterTrafficPolicies don't fit in, the newest are left out: {names}{more}"
        notices.append(Notice(Reason.POLICIES_LEFT_OUT, text))
    return Traffic(partial(_values, assigned), assigned.digest), tuple(notices)


def _values(assigned: Assignment) -> Object:
    return {"controller": {"multiCluster": assigned.values}} if assigned.config else {}


def _without_splits(values: Object) -> tuple[Object, tuple[Notice, ...]]:
    """Take out a split config that somebody wrote by hand."""
    controller = mapping(values, "controller")
    if "multiCluster" not in controller:
        return values, ()
    rest = {key: value for key, value in controller.items() if key != "multiCluster"}
    text = "spec.controller.multiCluster is made of ClusterTrafficPolicies; what is set there has no effect"
    return {**values, "controller": rest}, (Notice(Reason.VALUE_OVERRIDDEN, text),)


def _gateway_notices(obj: Object, claim: Claim, values: Mapping[str, Any]) -> tuple[Notice, ...]:
    own = mapping(obj, "spec", "values")
    image = mapping(values, "locked", "controller", "image")
    notices = [*_replaced_image(own, image), *overridden(_without_image(own), values["locked"])]
    broken = node_ports.parse(node_ports.of(obj) or "")[1]
    if broken:
        text = f"the annotation {node_ports.ANNOTATION} names no node port with {', '.join(broken[:_SHOWN])}"
        notices.append(Notice(Reason.FIELD_IGNORED, text))
    scope = mapping(obj, "spec", "controller", "scope")
    if claim.scope == CLUSTER and scope.get("namespace"):
        text = "spec.controller.scope.namespace has no effect while scope.enabled is false: all namespaces are served"
        notices.append(Notice(Reason.FIELD_IGNORED, text))
    return (*notices, *config_notices(nginx_config(obj)))


def _replaced_image(values: Mapping[str, Any], image: Mapping[str, Any]) -> tuple[Notice, ...]:
    """Tell where the settings replace an image that the user chose; a digest that goes with it needs no word."""
    own = mapping(values, "controller", "image")
    chosen = {key: own[key] for key in ("repository", "tag") if own.get(key)}
    return overridden({"controller": {"image": chosen}}, {"controller": {"image": image}})


def _without_image(values: Mapping[str, Any]) -> dict[str, Any]:
    controller = {key: value for key, value in mapping(values, "controller").items() if key != "image"}
    return {**values, "controller": controller}


def _from_gateway(obj: Object) -> bool:
    """Tell whether a Gateway made this Nginx; the Gateway has given the remarks already."""
    return OF_GATEWAY in mapping(obj, "metadata", "annotations")
