"""On whose behalf logs and metrics are asked for; every query starts from one of these, and none can be built without.

A tenant is a project, or the cluster, together with the one gateway that is looked at. All its parts are validated
here, so that builders of queries need not wonder where they came from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from gateway_operator.gateways.naming import service_name
from gateway_operator.names import DNS_LABEL_LIMIT

Kind = Literal["project", "cluster"]
CLUSTER_NAMESPACE = "kubesphere-system"  # how URLs call the cluster
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SUBDOMAIN_LIMIT = 253


@dataclass(frozen=True)
class Tenant:
    """One project's, or the cluster's, view of one gateway. Use `project` and `cluster`.

    `namespace` is the project (the cluster: `kubesphere-system`), `gateway` the Gateway's name, `working_namespace`
    where its pods run, `workloads` what the pods' names start with. `own` is False for a project that is served by
    somebody else's gateway: it may see its own share of the traffic only. `since` is when the project was created:
    what is older belongs to another project of the same name. `strangers` are workloads of other gateways, whose pods
    might be called as if they were the tenant's. Raises ValueError for names that Kubernetes wouldn't take.
    """

    kind: Kind
    namespace: str
    gateway: str
    working_namespace: str
    workloads: tuple[str, ...]
    own: bool
    since: datetime | None = None
    strangers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.namespace, self.working_namespace, *self.workloads, *self.strangers):
            if len(name) > DNS_LABEL_LIMIT or not _LABEL.fullmatch(name):
                raise ValueError(f"no DNS label: {name[:80]!r}")
        if len(self.gateway) > _SUBDOMAIN_LIMIT or not _SUBDOMAIN.fullmatch(self.gateway):
            raise ValueError(f"no name of a Gateway: {self.gateway[:80]!r}")
        if not self.workloads:
            raise ValueError("a tenant needs at least one workload")
        if self.kind not in {"project", "cluster"} or (self.kind == "cluster" and not self.own):
            raise ValueError("a tenant is a project, or the cluster with a gateway of its own")
        if self.since is not None and self.since.tzinfo is None:
            raise ValueError("since needs a time zone")

    @classmethod
    def project(
        cls,
        namespace: str,
        gateway: str,
        working_namespace: str,
        *,
        own: bool = True,
        workloads: tuple[str, ...] = (),
        since: datetime | None = None,
    ) -> Self:
        """A project that looks at its own gateway, or (`own` False) at the one that serves it, too."""
        found = workloads or (service_name(gateway),)
        return cls("project", namespace, gateway, working_namespace, found, own, since)

    @classmethod
    def cluster(cls, gateway: str, working_namespace: str, *, workloads: tuple[str, ...] = ()) -> Self:
        """The cluster's administrators, who see all of a cluster gateway."""
        found = workloads or (service_name(gateway),)
        return cls("cluster", CLUSTER_NAMESPACE, gateway, working_namespace, found, own=True)
