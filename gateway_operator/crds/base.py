"""What every kind of `gateway.kubesphere.io` has in common: names, columns and the status of a release.

The status keeps what it doesn't know (KubeSphere stored free-form data there), but each field that we write is
described, because `kubectl explain` prints these texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "gateway.kubesphere.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "gateway"
OPEN: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}
INT32: dict[str, Any] = {"format": "int32"}


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; priority 1 shows it only with `-o wide`."""

    name: str
    path: str
    description: str
    type: Literal["string", "integer", "date", "boolean"] = "string"
    priority: int = 0


@dataclass(frozen=True)
class Crd:
    """What a CRD says beside its schema."""

    kind: str
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    group: str = GROUP
    version: str = VERSION
    namespaced: bool = True
    selectable: tuple[str, ...] = ()
    scale: tuple[str, str, str] | None = None  # paths of spec replicas, status replicas, label selector

    @property
    def name(self) -> str:
        """The name of the CRD object."""
        return f"{self.plural}.{self.group}"


class Model(BaseModel):
    """Base of the models: camelCase outside, unknown fields ignored (the API server has pruned or refused them)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class Kind(Model):
    """Base of the models that are kinds."""

    crd: ClassVar[Crd]


class StatusCondition(Model):
    """One condition."""

    type: str = Field(description="What the condition is about: Ready, Accepted, Deployed, ...", max_length=316)
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition holds.")
    reason: str | None = Field(
        None, description="One word that says why, for programs. Default: none.", max_length=1024
    )
    message: str | None = Field(
        None, description="A sentence that says why and what to do, for people. Default: none.", max_length=32768
    )
    observed_generation: int | None = Field(
        None,
        description="The metadata.generation that the condition is about. Default: none.",
        json_schema_extra={"format": "int64"},
    )
    last_transition_time: str | None = Field(
        None, description="When the status last changed. Default: none.", json_schema_extra={"format": "date-time"}
    )


class DeployedRelease(Model):
    """The Helm release that runs."""

    name: str | None = Field(None, description="Name of the Helm release. Default: none.")
    namespace: str | None = Field(None, description="Namespace of the Helm release. Default: none.")
    revision: int | None = Field(None, description="Revision of the Helm release. Default: none.")
    chart: str | None = Field(None, description="Name and version of the chart, joined by a dash. Default: none.")


class LastAttempt(Model):
    """A helm run that failed and is tried again."""

    digest: str | None = Field(None, description="Digest of the inputs that failed. Default: none.")
    failures: int | None = Field(
        None, description="How often they failed in succession. Default: none.", json_schema_extra=INT32
    )
    time: str | None = Field(
        None, description="When they failed last. Default: none.", json_schema_extra={"format": "date-time"}
    )
    retry_at: str | None = Field(
        None, description="When they are tried again. Default: none.", json_schema_extra={"format": "date-time"}
    )
    lasting: bool | None = Field(
        None, description="True: the inputs are at fault; false: it may pass by itself. Default: none."
    )


class StatusPort(Model):
    """One port of the gateway's Service."""

    name: str | None = Field(None, description="Name of the port. Default: none.")
    port: int | None = Field(None, description="Port of the Service. Default: none.", json_schema_extra=INT32)
    node_port: int | None = Field(
        None,
        description="Port on every node, for the types NodePort and LoadBalancer. Default: none.",
        json_schema_extra=INT32,
    )
    protocol: str | None = Field(None, description="TCP or UDP. Default: none.")


class ReleaseState(Model):
    """What the status of every kind with a Helm release tells of that; the fields that the engine reads again."""

    observed_generation: int | None = Field(
        None,
        description="The metadata.generation that this status is about. Default: none.",
        json_schema_extra={"format": "int64"},
    )
    digest: str | None = Field(
        None, description="Digest of chart, values and release name that the release was made from. Default: none."
    )
    last_attempt: LastAttempt | None = Field(
        None, description="The helm run that failed last. Default: none, nothing fails."
    )
    last_handled_reconcile_at: str | None = Field(
        None, description="The token of the annotation reconcile-at that was handled last. Default: none."
    )
    last_handled_reset_at: str | None = Field(
        None, description="The token of the annotation reset-at that was handled last. Default: none."
    )
    last_handled_force_at: str | None = Field(
        None, description="The token of the annotation force-at that was handled last. Default: none."
    )


class ReleaseStatus(ReleaseState):
    """The status of a kind that runs as a Helm release; written by the operator."""

    conditions: tuple[StatusCondition, ...] | None = Field(
        None,
        description="What holds now: Ready is the summary; Accepted, Initialized, Deployed, ReleaseFailed, "
        "Irreconcilable, Drifted, Paused, Held, AddressAssigned and IngressesServed say more. Default: none.",
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    deployed_release: DeployedRelease | None = Field(
        None, description="The Helm release that runs. Default: none, nothing is installed.", json_schema_extra=OPEN
    )
    addresses: tuple[str, ...] | None = Field(
        None,
        description="IP addresses and host names that take traffic. Default: none.",
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    address: str | None = Field(
        None,
        description='Where traffic goes, as one text: the addresses, "NodePort 30080,30443" or "HostNetwork 80,443". '
        "Default: none.",
    )
    ports: tuple[StatusPort, ...] | None = Field(
        None,
        description="Ports of the gateway's Service. Default: none.",
        max_length=128,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    replicas: int | None = Field(None, description="Pods that there are. Default: none.", json_schema_extra=INT32)
    ready_replicas: int | None = Field(
        None,
        description="Pods that take traffic: their first configuration is verified. Default: none.",
        json_schema_extra=INT32,
    )
    selector: str | None = Field(
        None, description="Label selector of the pods, for the scale subresource. Default: none."
    )
    scope: str | None = Field(None, description="Cluster: all namespaces; Project: one namespace. Default: none.")
    project: str | None = Field(None, description="The namespace that a project gateway serves. Default: none.")
    ingress_class: str | None = Field(
        None, description="Name of the ingress class that the gateway serves. Default: none."
    )
    message: str | None = Field(None, description="The message of the condition Ready, and remarks. Default: none.")


def ready_columns() -> tuple[Column, ...]:
    """Return the columns that end every kind's table."""
    return (
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status', "True when the gateway takes traffic"),
        Column("Revision", ".status.deployedRelease.revision", "Revision of the Helm release", "integer", 1),
        Column("Chart", ".status.deployedRelease.chart", "Chart and version of the Helm release", priority=1),
        Column("Status", ".status.message", "Why it is (not) ready, and remarks", priority=1),
        Column("Age", ".metadata.creationTimestamp", "Time since it was created", "date"),
    )
