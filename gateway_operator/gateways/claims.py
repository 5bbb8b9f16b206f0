"""What each Gateway claims (the cluster, a project, a class), read cheaply from plain objects.

The scope rules look at all Gateways of a cluster whenever one changes, so a claim is a few look-ups, not a parsed
model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gateway_operator.crds.gateway import DEFAULT_CLASS

Scope = Literal["Cluster", "Project"]
CLUSTER: Scope = "Cluster"
PROJECT: Scope = "Project"


@dataclass(frozen=True)
class Claim:
    """One Gateway's claim, and what decides between it and others."""

    namespace: str
    name: str
    uid: str
    created: str
    scope: Scope
    project: str  # the namespace that a project gateway serves, else ""
    ingress_class: str
    default: bool  # serves Ingresses without a class
    installed: bool
    holds: bool  # is installed with this very claim

    @property
    def key(self) -> str:
        """The name that users know it by."""
        return f"{self.namespace}/{self.name}"

    @property
    def age(self) -> tuple[str, str]:
        """Order of creation; the UID decides within one second."""
        return (self.created, self.uid)

    @property
    def rank(self) -> tuple[bool, str, str]:
        """Order of precedence: whoever holds what it claims goes first, then the older."""
        return (not self.holds, *self.age)


def claim_of(gateway: Mapping[str, Any], *, installed: bool | None = None) -> Claim:
    """Read the claim of a Gateway; `installed` None means: ask its status."""
    meta, spec, status = gateway["metadata"], mapping(gateway, "spec"), mapping(gateway, "status")
    runs = bool(status.get("deployedRelease")) if installed is None else installed
    namespace = str(meta.get("namespace") or "")
    scope = mapping(spec, "controller", "scope")
    project = str(scope.get("namespace") or namespace) if scope.get("enabled") else ""
    ingress_class, default = _class_of(mapping(spec, "ingressClass"), is_project=bool(project))
    claimed = (PROJECT if project else CLUSTER, project or ingress_class)
    return Claim(
        namespace=namespace,
        name=str(meta.get("name") or ""),
        uid=str(meta.get("uid") or ""),
        created=str(meta.get("creationTimestamp") or ""),
        scope=claimed[0],
        project=project,
        ingress_class=ingress_class,
        default=default,
        installed=runs,
        holds=runs and _held(status) in {None, claimed},
    )


def mapping(obj: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the map at a path, or an empty one where there is none."""
    for step in path:
        found = obj.get(step)
        if not isinstance(found, Mapping):
            return {}
        obj = found
    return obj


def _class_of(chosen: Mapping[str, Any], *, is_project: bool) -> tuple[str, bool]:
    name = str(chosen.get("name") or DEFAULT_CLASS)
    default = chosen.get("default")
    return name, (is_project or name == DEFAULT_CLASS) if default is None else bool(default)


def _held(status: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what the status says that a Gateway holds; None when it was written before that was told."""
    scope = status.get("scope")
    if scope not in {CLUSTER, PROJECT}:
        return None
    return (scope, str(status.get("project" if scope == PROJECT else "ingressClass") or ""))
