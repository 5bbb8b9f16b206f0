"""The kind `MemberCluster`: a cluster whose pods may answer requests that come in at a gateway of this one.

Only administrators write it, so it is cluster-scoped; the credential stays in a Secret of the operator's namespace and
nothing of it is ever repeated here. `docs/spec/member.md` is the page for users.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from gateway_operator.crds.base import INT32, Column, Crd, Kind, Model, StatusCondition
from gateway_operator.crds.traffic import GROUP, VERSION

NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SECRET_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"  # noqa: S105 - no secret
TOPOLOGY = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
DEFAULT_KEY = "kubeconfig"
DEFAULT_STALE_TTL = "10m"
REGION_LABEL = "topology.kubernetes.io/region"
ZONE_LABEL = "topology.kubernetes.io/zone"
NETWORK_LABEL = "topology.istio.io/network"
NAME_MESSAGE = "the name must be a DNS label of at most 63 characters, because it becomes a label's value"
SOURCE_MESSAGE = "give kubeconfigSecretRef, or local: true for the cluster that the operator runs in; not both"
_RULES: dict[str, Any] = {
    "x-kubernetes-validations": [
        {
            "rule": f"self.metadata.name.matches('{NAME}') && self.metadata.name.size() <= 63",
            "message": NAME_MESSAGE,
        }
    ]
}
_SPEC_RULES: dict[str, Any] = {
    "x-kubernetes-validations": [
        {"rule": "(has(self.local) && self.local) != has(self.kubeconfigSecretRef)", "message": SOURCE_MESSAGE}
    ]
}


class SecretRef(Model):
    """Where the kubeconfig is."""

    name: str = Field(
        description="Name of a Secret in the operator's namespace.", min_length=1, max_length=253, pattern=SECRET_NAME
    )
    key: str | None = Field(
        None,
        description="Key of the Secret that holds the kubeconfig. Default: kubeconfig.",
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
    )


class MemberSpec(Model):
    """Where a member cluster is and how it is reached."""

    kubeconfig_secret_ref: SecretRef | None = Field(
        None,
        description="The Secret with the kubeconfig. Certificates, keys and tokens must be in it: exec, auth-provider, "
        "paths of files and proxies are refused. Default: none, for a local member.",
    )
    context: str | None = Field(
        None,
        description="Context of the kubeconfig. Default: its current-context.",
        min_length=1,
        max_length=253,
    )
    local: bool | None = Field(
        None,
        description="true: this is the cluster that the operator itself runs in; it needs no kubeconfig. "
        "Default: false.",
    )
    insecure_skip_tls_verify: bool | None = Field(
        None,
        alias="insecureSkipTLSVerify",
        description="true: a kubeconfig that doesn't check the API server's certificate is taken. Default: false.",
    )
    region: str | None = Field(
        None,
        description="Region in which the cluster stands. Default: the label topology.kubernetes.io/region.",
        max_length=63,
        pattern=TOPOLOGY,
    )
    zone: str | None = Field(
        None,
        description="Zone of the region in which the cluster stands. Default: the label topology.kubernetes.io/zone.",
        max_length=63,
        pattern=TOPOLOGY,
    )
    network: str | None = Field(
        None,
        description="Network of the cluster's pods; gateways reach pods of their own network. Default: the label "
        "topology.istio.io/network.",
        max_length=63,
        pattern=TOPOLOGY,
    )
    stale_ttl: str | None = Field(
        None,
        alias="staleTTL",
        description="How long endpoints are kept whatever probes say while the API server can't be reached; after it, "
        "those go that fail their probes too. Default: 10m.",
        max_length=32,
        pattern=DURATION,
    )


class MemberStatus(Model):
    """What a member cluster is; written by the operator."""

    observed_generation: int | None = Field(
        None,
        description="The metadata.generation that this status is about. Default: none.",
        json_schema_extra={"format": "int64"},
    )
    conditions: tuple[StatusCondition, ...] | None = Field(
        None,
        description="What holds now: Connected (the API server answers), Synced (all that policies need has been "
        "read) and CredentialCurrent (the newest credential is in use). Default: none.",
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    version: str | None = Field(None, description="Version of Kubernetes that the cluster runs. Default: none.")
    latency_milliseconds: int | None = Field(
        None, description="How long the API server took to answer last. Default: none.", json_schema_extra=INT32
    )
    namespaces: int | None = Field(
        None, description="Namespaces that are watched because policies need them. Default: none.",
        json_schema_extra=INT32,
    )  # fmt: skip
    services: int | None = Field(
        None, description="Services that policies use here. Default: none.", json_schema_extra=INT32
    )
    endpoints: int | None = Field(
        None, description="Ready endpoints of these services. Default: none.", json_schema_extra=INT32
    )
    last_contact_time: str | None = Field(
        None,
        description="When the API server answered last, while it doesn't now. Default: none, it answers.",
        json_schema_extra={"format": "date-time"},
    )
    stale: bool | None = Field(
        None, description="true: endpoints are those last known, because the API server doesn't answer. Default: none."
    )
    region: str | None = Field(None, description="The region that counts. Default: none.")
    zone: str | None = Field(None, description="The zone that counts. Default: none.")
    network: str | None = Field(None, description="The network that counts. Default: none.")
    credential: str | None = Field(
        None, description="Start of the digest of the kubeconfig in use, to see a rotation. Default: none."
    )
    message: str | None = Field(None, description="The message of the condition Connected. Default: none.")


class MemberCluster(Kind):
    """A MemberCluster is a cluster whose services ClusterTrafficPolicies may send traffic to."""

    model_config = ConfigDict(json_schema_extra=_RULES)
    crd: ClassVar[Crd] = Crd(
        kind="MemberCluster",
        plural="memberclusters",
        short_name="mcl",
        group=GROUP,
        version=VERSION,
        namespaced=False,
        columns=(
            Column(
                "Connected",
                '.status.conditions[?(@.type=="Connected")].status',
                "True when the API server answers and what is needed can be read",
            ),
            Column("Version", ".status.version", "Version of Kubernetes"),
            Column("Region", ".status.region", "Region in which the cluster stands"),
            Column("Endpoints", ".status.endpoints", "Ready endpoints of the services that policies use", "integer"),
            Column("Stale", ".status.stale", "true while endpoints are those last known", "boolean"),
            Column("Zone", ".status.zone", "Zone in which the cluster stands", priority=1),
            Column("Network", ".status.network", "Network of the cluster's pods", priority=1),
            Column("Services", ".status.services", "Services that policies use", "integer", 1),
            Column("Latency", ".status.latencyMilliseconds", "Milliseconds to the last answer", "integer", 1),
            Column("Status", ".status.message", "Why it is (not) connected", priority=1),
            Column("Age", ".metadata.creationTimestamp", "Time since it was created", "date"),
        ),
    )
    spec: MemberSpec = Field(description="Where the cluster is and how it is reached.", json_schema_extra=_SPEC_RULES)
    status: MemberStatus | None = Field(
        None, description="What the cluster is; written by the operator. Default: none."
    )
