"""The ways in which somebody spoils an object of a release, and how it looks when that is put right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.engine.sightings import Looks
from bench.engine.world import NAMESPACE
from gateway_operator.kube import Api, Resource

SOMEBODY = "somebody"  # the field manager of what nobody asked for
SERVICE = Resource("", "v1", "Service", "services", namespaced=True)
CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)
CLUSTER_ROLE = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
KINDS = (SERVICE, CONFIG_MAP, CLUSTER_ROLE)
_RULES = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]


@dataclass(frozen=True)
class Change:
    """One way to spoil an object; `patch` None deletes it."""

    what: str
    resource: Resource
    patch: dict[str, Any] | None
    right: Callable[[dict[str, Any]], bool]

    def name(self, site: str) -> str:
        """Return the name that the chart gives the object of a site."""
        return site if self.resource.namespaced else f"{NAMESPACE}-{site}"

    async def make(self, api: Api, site: str) -> None:
        """Spoil the object of a site."""
        namespace = NAMESPACE if self.resource.namespaced else None
        if self.patch is None:
            await api.delete(self.resource, self.name(site), namespace)
        else:
            await api.merge_patch(self.resource, self.name(site), self.patch, namespace, field_manager=SOMEBODY)

    def repaired(self) -> Looks:
        """Return a test for a watch's events: first the spoilt object, then the one that is right again."""
        spoilt = False

        def looks(obj: dict[str, Any] | None) -> bool:
            nonlocal spoilt
            fine = obj is not None and not obj["metadata"].get("deletionTimestamp") and self.right(obj)
            spoilt = spoilt or not fine
            return spoilt and fine

        return looks


def _unlabelled(obj: dict[str, Any]) -> bool:
    return "stray" not in (obj["metadata"].get("labels") or {})


_LABEL = {"metadata": {"labels": {"stray": "yes"}}}
DELETED = Change("deleted, namespaced", SERVICE, None, lambda _: True)
CHANGED = Change(
    "changed, namespaced",
    CONFIG_MAP,
    {"data": {"colour": "drifted"}},
    lambda o: (o.get("data") or {}).get("colour") != "drifted",
)
ADDED = Change("added, namespaced", SERVICE, _LABEL, _unlabelled)
CLUSTER_DELETED = Change("deleted, cluster-scoped", CLUSTER_ROLE, None, lambda _: True)
CLUSTER_CHANGED = Change(
    "changed, cluster-scoped", CLUSTER_ROLE, {"rules": []}, lambda o: bool(o.get("rules") == _RULES)
)
CLUSTER_ADDED = Change("added, cluster-scoped", CLUSTER_ROLE, _LABEL, _unlabelled)
ALL = (DELETED, CHANGED, ADDED, CLUSTER_DELETED, CLUSTER_CHANGED, CLUSTER_ADDED)
