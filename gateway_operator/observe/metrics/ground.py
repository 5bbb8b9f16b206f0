"""What expressions stand on: a tenant's scopes, as Prometheus labels them, and the window. Pure.

Prometheus gives each scrape's target the labels `job` and `namespace` (where the gateway runs). An Ingress's namespace
is `exported_namespace` then, or `namespace` itself where the scrape honours the gateway's own labels. In either case
a gateway tells `controller_namespace`. Series that have `exported_namespace` are never taken for those of a scrape
that honours labels: else a project that is called like the gateway's namespace would see everybody's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway_operator.gateways.naming import service_name
from gateway_operator.observe.metrics.expressions import Period
from gateway_operator.observe.metrics.promql import Matcher, Scope, Selector, same
from gateway_operator.observe.metrics.query import MetricsQuery
from gateway_operator.observe.tenant import Tenant

PREFIX = "nginx_ingress_controller"
CLUSTERS = "gateway_cluster"  # series of ours, of policies
EXPORTED, HONOURED = "exported_namespace", "namespace"
NamespaceLabel = Literal["exported_namespace", "namespace"]
LEAST_SCRAPES = 4


def job_of(gateway: str) -> str:
    """Return the scrape job of a gateway: the name of its metrics Service."""
    return f"{service_name(gateway)}-metrics"


@dataclass(frozen=True)
class Ground:
    """One tenant's view of one gateway at one question."""

    tenant: Tenant
    query: MetricsQuery
    label: NamespaceLabel
    over: Period

    @property
    def by_cluster(self) -> tuple[str, ...]:
        """The labels that tell apart what a policy sends to its clusters."""
        return (self.label, "policy", "host", "path", "cluster")

    @property
    def by_ingress(self) -> tuple[str, ...]:
        """The labels that tell Ingresses apart: names alone would merge those of two namespaces."""
        return (self.label, "ingress")

    def requests(self, metric: str, *matchers: Matcher) -> Selector:
        """Select what the tenant's requests were counted in: a project's own, the cluster's all."""
        return self._traffic().select(f"{PREFIX}_{metric}", *self._named("ingress"), *matchers)

    def clusters(self, metric: str, *matchers: Matcher) -> Selector:
        """Select what was counted for each member cluster that a policy sends requests to; filters are of policies."""
        return self._traffic().select(f"{CLUSTERS}_{metric}", *self._named("policy"), *matchers)

    def process(self, metric: str, *matchers: Matcher) -> Selector:
        """Select what the gateway itself tells; raises NotOwn for a gateway that isn't the tenant's own."""
        if not self.tenant.own:
            raise NotOwn
        return Scope(self._gateway()).select(f"{PREFIX}_{metric}", *matchers)

    def _traffic(self) -> Scope:
        gateway = self._gateway()
        if self.tenant.kind == "cluster":
            return Scope(gateway)
        share = [same(self.label, self.tenant.namespace)]
        if self.label == HONOURED:
            share.append(same(EXPORTED, ""))
        return Scope((*gateway, *share))

    def _gateway(self) -> tuple[Matcher, ...]:
        here = self.tenant.working_namespace
        found = [same("job", job_of(self.tenant.gateway)), same("controller_namespace", here)]
        if self.label == EXPORTED:
            found.append(same("namespace", here))
        if self.query.pod:
            found.append(same("controller_pod", self.query.pod))
        return tuple(found)

    def _named(self, label: str) -> tuple[Matcher, ...]:
        if self.query.ingress:
            return (same(label, self.query.ingress),)
        return (Matcher(label, "=~", self.query.resources),) if self.query.resources else ()


class NotOwn(Exception):
    """What was asked for belongs to whoever runs the gateway, not to a project that it serves too."""


def window_of(query: MetricsQuery, scrape: int) -> int:
    """Return over how many seconds is counted: no shorter than a step, nor than four scrapes."""
    default = query.times.step if query.times.is_range else 300
    return max(query.duration or default, query.times.step, LEAST_SCRAPES * scrape)
