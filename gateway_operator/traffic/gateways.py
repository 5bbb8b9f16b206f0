"""Which gateway serves which policy, and what it is told. Common ground of who decides that and who hands it out. Pure.

A gateway is an Nginx object whose pods run our image. It serves policies by the name of its class, those without a
class where it serves such Ingresses, too, and only those of its project where it has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.traffic.config import SplitConfig, document

Key = tuple[str, str]  # namespace and name of an Nginx object
DEFAULT_CLASS = "nginx"  # of the chart's values


@dataclass(frozen=True)
class Gateway:
    """A gateway as policies see it; `project` is the only namespace that it serves, or empty."""

    namespace: str
    name: str
    ingress_class: str = DEFAULT_CLASS
    without_class: bool = False
    project: str = ""

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def serves(self, namespace: str, ingress_class: str) -> bool:
        """Tell whether it serves the policies of a namespace with this class ("": none)."""
        if self.project not in {"", namespace}:
            return False
        return ingress_class == self.ingress_class if ingress_class else self.without_class


@dataclass(frozen=True)
class Assignment:
    """What one gateway is told: None while it serves no policy. `left_out` are policies that don't fit."""

    config: SplitConfig | None = None
    left_out: tuple[Key, ...] = ()

    @property
    def values(self) -> dict[str, Any] | None:
        """The config as values of the gateway's release."""
        return document(self.config) if self.config else None

    @property
    def digest(self) -> str:
        """The name of the config, or empty."""
        return self.config.digest if self.config else ""


@dataclass(frozen=True)
class Quarantined:
    """How many Ingresses a gateway's nginx refuses, and the first of them: (namespace/name, why)."""

    count: int = 0
    named: tuple[tuple[str, str], ...] = ()


def gateway_of(nginx: Mapping[str, Any]) -> Gateway:
    """Read an Nginx object, whose spec is the values document of its release."""
    meta, spec = nginx["metadata"], nginx.get("spec")
    controller = _map(_map(spec).get("controller"))
    scope, resource = _map(controller.get("scope")), _map(controller.get("ingressClassResource"))
    project = str(scope.get("namespace") or meta["namespace"]) if scope.get("enabled") is True else ""
    return Gateway(
        namespace=meta["namespace"],
        name=meta["name"],
        ingress_class=str(resource.get("name") or controller.get("ingressClass") or DEFAULT_CLASS),
        without_class=controller.get("watchIngressWithoutClass") is True,
        project=project,
    )


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
