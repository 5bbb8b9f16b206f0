"""The kind `ClusterTrafficPolicy`: hosts and paths, and over which clusters the requests for them are spread.

Hosts, paths, services and weights are seed 000's, unchanged; what else there is may be left out. The API server checks
here what can be checked on one object; `clusters/policies.py` checks the same and more, since objects may have been
stored before. `docs/spec/policy.md` is the page for users.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from gateway_operator.crds.base import (
    INT32,
    OPEN,
    Column,
    Crd,
    DeployedRelease,
    Kind,
    Model,
    ReleaseState,
    StatusCondition,
)
from gateway_operator.crds.member import NAME
from gateway_operator.crds.traffic import GROUP, VERSION

MAX_WEIGHT = 10_000
MAX_PRIORITY = 15
MAX_RULES, MAX_PATHS, MAX_CLUSTERS = 64, 64, 32
MAX_RIVALS = 8  # that a status names
_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?"
HOST = rf"^$|^(\*\.)?{_LABEL}(\.{_LABEL})*$"
PATH = r'^$|^/[^\x00-\x20\x7f;{}"\\$#?]*$'
OPTIONAL_NAME = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
KEY_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
CLASS_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
DEFAULT_COOKIE = "gateway-cluster"

PORT_MESSAGE = "give the port's name or its number, exactly one of them"
WEIGHT_MESSAGE = "give every cluster a weight, or none of them"
KEY_MESSAGE = "name belongs to the types Header and Cookie, which need it"
_PORT_RULE: dict[str, Any] = {
    "x-kubernetes-validations": [
        {
            "rule": "(has(self.name) && self.name != '') != (has(self.number) && self.number != 0)",
            "message": PORT_MESSAGE,
        }
    ]
}
_KEY_RULE: dict[str, Any] = {
    "x-kubernetes-validations": [
        {"rule": "(self.type == 'Header' || self.type == 'Cookie') == has(self.name)", "message": KEY_MESSAGE}
    ]
}
_CLUSTERS: dict[str, Any] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "x-kubernetes-validations": [
        {"rule": "self.all(c, has(c.weight)) || !self.exists(c, has(c.weight))", "message": WEIGHT_MESSAGE}
    ],
}
_ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}


class ServicePort(Model):
    """A port of a Service."""

    name: str | None = Field(
        None, description="Name of the Service's port. Default: none, number is given.", max_length=63
    )
    number: int | None = Field(
        None,
        description="Number of the Service's port, never of the pods' port. Default: none, name is given.",
        ge=0,
        le=65535,
        json_schema_extra=INT32,
    )


class ServiceRef(Model):
    """A Service, which has the same name in every cluster."""

    namespace: str | None = Field(
        None,
        description="Namespace of the Service; another one than the policy's needs a grant on that Namespace. "
        "Default: the policy's own.",
        max_length=63,
        pattern=OPTIONAL_NAME,
    )
    name: str | None = Field(None, description="Name of the Service. Default: none.", max_length=63, pattern=NAME)
    port: ServicePort | None = Field(
        None, description="Port of the Service. Default: none.", json_schema_extra=_PORT_RULE
    )


class ClusterWeight(Model):
    """A cluster's part of the requests."""

    name: str = Field(description="Name of a MemberCluster.", min_length=1, max_length=63, pattern=NAME)
    weight: int | None = Field(
        None,
        description="Part of the requests, relative to the sum of all weights; 0: none. Default: when no cluster has "
        "one, in proportion to ready endpoints.",
        ge=0,
        le=MAX_WEIGHT,
        json_schema_extra=INT32,
    )
    priority: int | None = Field(
        None,
        description="Tier: a cluster gets requests only when those with smaller numbers can't take all. Default: 0.",
        ge=0,
        le=MAX_PRIORITY,
        json_schema_extra=INT32,
    )


class SplitKey(Model):
    """What decides which cluster a request goes to."""

    type: Literal["Request", "ClientIP", "Header", "Cookie"] = Field(
        description="Request: each request by itself; ClientIP, Header, Cookie: equal values go to the same cluster."
    )
    name: str | None = Field(
        None,
        description="Name of the header or the cookie; requests without it are split each by itself. Default: none.",
        max_length=64,
        pattern=KEY_NAME,
    )


class Sticky(Model):
    """A cookie that keeps a client at its cluster."""

    cookie: str | None = Field(
        None,
        description=f"Name of the cookie. Default: {DEFAULT_COOKIE}.",
        min_length=1,
        max_length=64,
        pattern=KEY_NAME,
    )
    max_age_seconds: int | None = Field(
        None,
        description="How long the cookie lives. Default: 0, until the browser is closed.",
        ge=0,
        le=31_536_000,
        json_schema_extra=INT32,
    )


class Backend(Model):
    """A Service, and how its requests are spread over the clusters that have it."""

    service: ServiceRef | None = Field(None, description="The Service that answers. Default: none.")
    cluster_traffic_policy: tuple[ClusterWeight, ...] | None = Field(
        None,
        description="The clusters that may answer, with their weights. Default: every member that has the Service.",
        max_length=MAX_CLUSTERS,
        json_schema_extra=_CLUSTERS,
    )
    split_key: SplitKey | None = Field(
        None,
        description="What decides which cluster a request goes to. Default: each request by itself.",
        json_schema_extra=_KEY_RULE,
    )
    locality: Literal["Any", "LocalFirst"] | None = Field(
        None,
        description="LocalFirst: inside each tier, clusters in the gateway's own zone come first, then those in its "
        "region, then the others. Default: Any.",
    )
    on_empty: Literal["Redistribute", "Fail"] | None = Field(
        None,
        description="What happens to the share of a cluster without ready endpoints. Redistribute: the others of its "
        "tier get it; Fail: it is answered with 503. Default: Redistribute.",
    )
    min_ready_ratio: int | None = Field(
        None,
        description="Percentage of endpoints that must be ready for a cluster to get its full share; below it the "
        "share shrinks with the number of ready ones. Default: 0, one ready endpoint is enough.",
        ge=0,
        le=100,
        json_schema_extra=INT32,
    )
    sticky: Sticky | None = Field(
        None, description="Keep a client at the cluster that answered first. Default: none, clients are not kept."
    )


class Path(Model):
    """A path of a host."""

    path: str | None = Field(
        None,
        description="Path, which begins with a slash. Default: /.",
        max_length=1024,
        pattern=PATH,
    )
    path_type: Literal["Exact", "Prefix", "ImplementationSpecific"] | None = Field(
        None,
        description="Exact: this path only; Prefix: it and what lies below it, element by element; "
        "ImplementationSpecific: all paths that begin with these characters. Default: Prefix.",
    )
    backend: Backend | None = Field(None, description="Who answers. Default: none.")


class Http(Model):
    """The paths of a host."""

    paths: tuple[Path, ...] | None = Field(
        None,
        description="Paths and who answers them: Exact before Prefix, the longest first. Default: none.",
        max_length=MAX_PATHS,
        json_schema_extra=_ATOMIC,
    )


class Rule(Model):
    """A host."""

    host: str | None = Field(
        None,
        description="Host name without a port; *.example.com stands for one label more. Default: every host that no "
        "other rule has.",
        max_length=253,
        pattern=HOST,
    )
    http: Http | None = Field(None, description="The paths of the host. Default: none.")


class PolicySpec(Model):
    """Which requests go to which services, and to which clusters."""

    ingress_class_name: str | None = Field(
        None,
        description="The ingress class whose gateway serves the policy. Default: gateways that serve Ingresses without "
        "a class.",
        min_length=1,
        max_length=63,
        pattern=CLASS_NAME,
    )
    default_backend: Backend | None = Field(
        None, description="Who answers requests that no rule matches. Default: none, they get 404."
    )
    rules: tuple[Rule, ...] | None = Field(
        None, description="Hosts and their paths. Default: none.", max_length=MAX_RULES, json_schema_extra=_ATOMIC
    )


class ClusterShare(Model):
    """What a cluster gets of a path's requests."""

    name: str = Field(description="Name of the cluster.", max_length=63)
    desired: str | None = Field(None, description="Share that the policy asks for. Default: none.", max_length=8)
    effective: str | None = Field(None, description="Share that it gets now. Default: none.", max_length=8)
    ready: int | None = Field(None, description="Ready endpoints. Default: none.", json_schema_extra=INT32)
    state: str | None = Field(
        None, description="Active, Standby, Empty, Stale, NotFound or Rejected. Default: none.", max_length=32
    )
    reason: str | None = Field(None, description="One word that says why. Default: none.", max_length=64)


class BackendStatus(Model):
    """What a path's requests meet."""

    host: str | None = Field(None, description="Host of the rule; empty: every other host. Default: none.")
    path: str | None = Field(None, description="Path; empty: the default backend. Default: none.")
    path_type: str | None = Field(None, description="Type of the path. Default: none.")
    service: str | None = Field(None, description="The Service, as namespace/name:port. Default: none.")
    reason: str | None = Field(None, description="Why nobody answers. Default: none, somebody does.")
    conflicts_with: tuple[str, ...] | None = Field(
        None,
        description="Who wants this path, too, and doesn't get it, because this policy is older: kind, namespace and "
        "name. Default: none.",
        max_length=MAX_RIVALS,
        json_schema_extra=_ATOMIC,
    )
    clusters: tuple[ClusterShare, ...] | None = Field(
        None,
        description="The clusters, with what they get. Default: none.",
        max_length=256,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class PolicyStatus(ReleaseState):
    """What a policy does; written by the operator."""

    conditions: tuple[StatusCondition, ...] | None = Field(
        None,
        description="What holds now: Accepted, ResolvedRefs, Programmed (a gateway acknowledged it) and BackendsReady; "
        "of the release with the mirror Services Deployed, ReleaseFailed, Irreconcilable, Drifted, Paused and Held. "
        "Default: none.",
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    backends: tuple[BackendStatus, ...] | None = Field(
        None,
        description="Each path, and what the clusters get of it. Default: none.",
        max_length=4097,
        json_schema_extra=_ATOMIC,
    )
    message: str | None = Field(None, description="The first thing that is wrong, or a summary. Default: none.")
    deployed_release: DeployedRelease | None = Field(
        None, description="The Helm release with the mirror Services. Default: none.", json_schema_extra=OPEN
    )


class ClusterTrafficPolicy(Kind):
    """A ClusterTrafficPolicy spreads the requests for a service over the clusters that run it."""

    crd: ClassVar[Crd] = Crd(
        kind="ClusterTrafficPolicy",
        plural="clustertrafficpolicies",
        short_name="ctp",
        group=GROUP,
        version=VERSION,
        columns=(
            Column("Class", ".spec.ingressClassName", "The ingress class whose gateway serves it"),
            Column(
                "Accepted",
                '.status.conditions[?(@.type=="Accepted")].status',
                "True when its rules are sound and its own",
            ),
            Column(
                "Programmed",
                '.status.conditions[?(@.type=="Programmed")].status',
                "True when a gateway acknowledged it",
            ),
            Column(
                "Ready", '.status.conditions[?(@.type=="BackendsReady")].status', "True when every path has endpoints"
            ),
            Column("Status", ".status.message", "What is wrong, or a summary", priority=1),
            Column("Age", ".metadata.creationTimestamp", "Time since it was created", "date"),
        ),
    )
    spec: PolicySpec | None = Field(
        None, description="Which requests go to which services, and to which clusters. Default: none."
    )
    status: PolicyStatus | None = Field(
        None, description="What the policy does; written by the operator. Default: none."
    )
