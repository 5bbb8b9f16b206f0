"""What a policy's path is on its way from the split config to the plan: plain data, as other steps have for Ingresses.

A policy enters the fold as rules like an Ingress's, so that ages, conflicts, certificates and the order of paths are
settled in one place; its paths lead to a `SplitPath` instead of a Service.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway_operator.ingress.endpoints import FIRST_PORT, BackendKey
from gateway_operator.traffic.config import Backend, Path

POLICY = "ClusterTrafficPolicy"
CONFLICTED = "Conflicted"  # what the loser of a place is told
CONTESTED = "PathContested"  # what the winner is told where a policy is one of the two; of a policy: by whom


@dataclass(frozen=True)
class SplitPath:
    """A path of a policy as people wrote it, and the policy's namespace and name."""

    namespace: str
    policy: str
    config: Path

    @property
    def backend(self) -> Backend | None:
        """Who answers; None answers 503."""
        return self.config.backend

    def members(self) -> dict[str, BackendKey]:
        """Return the mirrors of the clusters that have one, by cluster."""
        clusters = self.backend.clusters if self.backend else ()
        return {item.name: BackendKey(self.namespace, item.mirror, FIRST_PORT) for item in clusters if item.mirror}


@dataclass(frozen=True)
class HostSplit:
    """A path's split in one host; `alive` are the clusters whose mirrors have endpoints."""

    path: SplitPath
    host: str
    alive: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitNeed:
    """A split that the plan needs, without its endpoints: the upstreams (by cluster) of those that have some."""

    id: str
    path: SplitPath
    upstreams: tuple[tuple[str, str], ...] = ()
