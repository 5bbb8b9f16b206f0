"""Shapes and examples for the OpenAPI document; what is sent is plain JSON, made once for each object."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

EXAMPLE: dict[str, Any] = {
    "apiVersion": "gateway.kubesphere.io/v1alpha1",
    "kind": "Gateway",
    "metadata": {"name": "kubesphere-router-shop", "namespace": "kubesphere-controls-system"},
    "spec": {
        "controller": {"scope": {"enabled": True, "namespace": "shop"}, "config": {"proxy-body-size": "8m"}},
        "service": {"type": "NodePort"},
        "deployment": {"replicas": 2},
    },
}
EVENTS_EXAMPLE = 'id: 1042\nevent: MODIFIED\ndata: {"type":"MODIFIED","object":{...}}\n\n'


class Shape(BaseModel):
    """Base: more members may come."""

    model_config = ConfigDict(extra="allow")


class ProblemShape(Shape):
    """An error (RFC 9457); `reason` is one word for programs."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(examples=["the cluster gateway kubesphere-controls-system/main serves all projects"])
    reason: str = Field(examples=["ClusterGatewayExists"])


class GatewayShape(Shape):
    """A Gateway, as docs/spec/gateway.md describes it; `status.loadBalancer` and `status.service` are read-only."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", json_schema_extra={"example": EXAMPLE})
    apiVersion: str = "gateway.kubesphere.io/v1alpha1"  # noqa: N815 - Kubernetes' word
    kind: str = "Gateway"
    metadata: dict[str, Any]
    spec: dict[str, Any] = Field(default_factory=dict)
    status: dict[str, Any] = Field(default_factory=dict)


class GatewayList(Shape):
    """A page of gateways; `totalItems` counts all that match."""

    items: list[GatewayShape]
    totalItems: int  # noqa: N815 - KubeSphere's word


class PodList(Shape):
    """A page of pods."""

    items: list[dict[str, Any]]
    totalItems: int  # noqa: N815


class Message(Shape):
    """Something was done."""

    message: str = Field(examples=["success"])


class Leaving(Shape):
    """A gateway that is being deleted and not gone yet; `waitingFor` is what the operator says of it."""

    message: str = Field(examples=["deleting"])
    waitingFor: str = Field(examples=["Waiting until all resources are deleted: Nginx x-ingress"])  # noqa: N815
    gateway: dict[str, Any]


class Revision(Shape):
    """One revision of a release."""

    revision: int
    status: str
    chart: str
    updated: str
    description: str


class History(Shape):
    """The revisions of a gateway's release, the oldest first; `heldAt` is one that it was rolled back to."""

    release: str
    heldAt: int | None  # noqa: N815
    revisions: list[Revision]


class Rollback(BaseModel):
    """The revision to go back to."""

    model_config = ConfigDict(extra="forbid")
    revision: int = Field(ge=1, le=2**31 - 1, examples=[3])


class PlanShape(Shape):
    """What `dryRun=plan` answers: the gateway as it would be, and what the operator would do."""

    gateway: GatewayShape
    plans: list[dict[str, Any]]
