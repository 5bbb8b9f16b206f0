"""The kind `Gateway`: KubeSphere's fields, unchanged, and the few that its users kept asking for.

Fields, types and meanings are KubeSphere's (spec.controller, spec.service, spec.deployment), so existing objects move
over; ours are spec.ingressClass and spec.values. `docs/spec/gateway.md` is the page for users.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, WithJsonSchema

from gateway_operator.crds.base import INT32, OPEN, Column, Crd, Kind, Model, ReleaseStatus, ready_columns

QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
NAMESPACE = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
CLASS_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
DEFAULT_CLASS = "nginx"

Quantity = Annotated[
    int | str,
    WithJsonSchema(
        {"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": QUANTITY, "x-kubernetes-int-or-string": True}
    ),
]
ShortText = Annotated[str, Field(max_length=512)]
ConfigText = Annotated[str, Field(max_length=8192)]
AnnotationText = Annotated[str, Field(max_length=16384)]

_PORT_KEY = "k.matches('^[1-9][0-9]{0,4}$') && int(k) <= 65535"
_TARGET = (
    "self[k].matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
    ":([1-9][0-9]{0,4}|[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?)(:(PROXY)?){0,2}$')"
)
PORT_KEY_MESSAGE = 'each key must be a port from 1 to 65535, such as "8080"'
PORT_TARGET_MESSAGE = (
    'each value must be "namespace/service:port", with ":PROXY" after it to take and another ":PROXY" to send the '
    "PROXY protocol, "
    'such as "shop/db:5432"'
)
_PORT_RULES: dict[str, Any] = {
    "x-kubernetes-validations": [
        {"rule": f"self.all(k, {_PORT_KEY})", "message": PORT_KEY_MESSAGE},
        {"rule": f"self.all(k, {_TARGET})", "message": PORT_TARGET_MESSAGE},
    ]
}
RESERVED_PORTS = ("80", "443", "10254")
_RESERVED_RULE = {
    "rule": "!('80' in self || '443' in self || '10254' in self)",
    "message": "the ports 80, 443 and 10254 are the gateway's own",
}
_TCP_RULES: dict[str, Any] = {"x-kubernetes-validations": [*_PORT_RULES["x-kubernetes-validations"], _RESERVED_RULE]}


class Scope(Model):
    """Which namespaces the gateway serves."""

    enabled: bool | None = Field(
        None,
        description="true: a project gateway, which serves one namespace; false: a cluster gateway, which serves "
        "all. Default: false.",
    )
    namespace: str | None = Field(
        None,
        description="The namespace that a project gateway serves; a Gateway outside the working namespace may name "
        "only its own. "
        "Default: the Gateway's own namespace.",
        max_length=63,
        pattern=NAMESPACE,
    )


class Controller(Model):
    """What nginx and its controller do."""

    replicas: int | None = Field(
        None,
        description="Reserved, without effect; spec.deployment.replicas counts. Default: 1.",
        ge=0,
        le=1000,
        json_schema_extra=INT32,
    )
    annotations: dict[str, AnnotationText] | None = Field(
        None, description="Reserved, without effect. Default: none.", max_length=256
    )
    config: dict[str, ConfigText] | None = Field(
        None,
        description="Keys of the nginx ConfigMap and their values, as texts. A value that nginx would refuse refuses "
        "the Gateway "
        "(reason ConfigInvalid); an unknown key is kept and warned of. Changes take effect without a restart. "
        "Default: none.",
        max_length=256,
    )
    scope: Scope | None = Field(
        None, description="Which namespaces the gateway serves. Default: all (a cluster gateway)."
    )
    tcp: dict[str, ShortText] | None = Field(
        None,
        description='TCP ports and their targets: "8080": "namespace/service:port[:PROXY[:PROXY]]", where the first '
        "PROXY takes and the "
        "second sends the PROXY protocol. A project gateway may only target its own namespace. Default: none.",
        max_length=256,
        json_schema_extra=_TCP_RULES,
    )
    udp: dict[str, ShortText] | None = Field(
        None,
        description='UDP ports and their targets: "53": "namespace/service:port". A project gateway may only target '
        "its own namespace. "
        "Default: none.",
        max_length=256,
        json_schema_extra=_PORT_RULES,
    )


class Service(Model):
    """How the gateway is reached."""

    type: Literal["LoadBalancer", "NodePort", "ClusterIP"] | None = Field(
        None, description="Type of the gateway's Service: LoadBalancer, NodePort or ClusterIP. Default: LoadBalancer."
    )
    annotations: dict[str, AnnotationText] | None = Field(
        None,
        description="Annotations of the gateway's Service, such as a cloud's load balancer options. Default: none.",
        max_length=256,
    )


class ResourceClaim(Model):
    """A claim of the pod that the container uses."""

    name: str = Field(description="Name of the entry of the pod's resourceClaims.", max_length=253)
    request: str | None = Field(
        None, description="Name of one request of the claim. Default: all of the claim.", max_length=253
    )


class Resources(Model):
    """Compute resources of the gateway's container."""

    requests: dict[str, Quantity] | None = Field(
        None, description="What is reserved on the node. Default: cpu 100m, memory 90Mi.", max_length=32
    )
    limits: dict[str, Quantity] | None = Field(
        None, description="What must not be exceeded. Default: none.", max_length=32
    )
    claims: tuple[ResourceClaim, ...] | None = Field(
        None,
        description="Resource claims that the container uses. Default: none.",
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class Deployment(Model):
    """The workload that carries the traffic."""

    replicas: int | None = Field(
        None, description="Pods of the gateway. Default: 1.", ge=0, le=1000, json_schema_extra={**INT32, "default": 1}
    )
    annotations: dict[str, AnnotationText] | None = Field(
        None,
        description="Annotations of the gateway's Deployment; servicemesh.kubesphere.io/enabled also becomes "
        "sidecar.istio.io/inject of its "
        "pods. Default: none.",
        max_length=256,
    )
    resources: Resources | None = Field(
        None, description="Compute resources of the gateway's pods. Default: requests of cpu 100m and memory 90Mi."
    )


class IngressClass(Model):
    """The ingress class that the gateway serves."""

    name: str | None = Field(
        None,
        description="Name of the class. A cluster gateway gets an IngressClass object of this name, and no two may "
        "share one; a project "
        "gateway matches Ingresses by the name alone. Default: nginx.",
        min_length=1,
        max_length=63,
        pattern=CLASS_NAME,
    )
    default: bool | None = Field(
        None,
        description="Whether Ingresses without a class are served too; only one cluster gateway may. Default: true "
        "for project gateways and "
        "for the class nginx, else false.",
    )


class GatewaySpec(Model):
    """What a gateway should be."""

    controller: Controller | None = Field(
        None, description="What nginx and its controller do. Default: a cluster gateway, nginx's defaults."
    )
    service: Service | None = Field(
        None, description="How the gateway is reached. Default: a Service of type LoadBalancer."
    )
    deployment: Deployment | None = Field(
        None,
        description="The workload that carries the traffic. Default: one replica.",
        json_schema_extra={"default": {}},
    )
    ingress_class: IngressClass | None = Field(
        None, description="The ingress class that the gateway serves. Default: the class nginx."
    )
    values: dict[str, Any] | None = Field(
        None,
        description="Values of the ingress-nginx chart, merged over all that the fields above say (maps merge, lists "
        "replace, null deletes). "
        "Outside the working namespace only values that give no rights are taken (reason ValuesForbidden). Default: "
        "none.",
    )


class Gateway(Kind):
    """A Gateway is an nginx gateway for a whole cluster or one project; the operator installs it and keeps it so."""

    crd: ClassVar[Crd] = Crd(
        kind="Gateway",
        plural="gateways",
        short_name="mgw",
        columns=(
            Column("Scope", ".status.scope", "Cluster (all namespaces) or Project (one namespace)"),
            Column("Class", ".status.ingressClass", "The ingress class that is served"),
            Column("Replicas", ".status.replicas", "Pods of the gateway", "integer"),
            Column("Address", ".status.address", "Where traffic goes"),
            Column("Project", ".status.project", "The namespace that a project gateway serves", priority=1),
            *ready_columns(),
        ),
        selectable=(".status.scope", ".status.project"),
        scale=(".spec.deployment.replicas", ".status.replicas", ".status.selector"),
    )
    spec: GatewaySpec | None = Field(
        None,
        description="What the gateway should be. Default: a cluster gateway of class nginx.",
        json_schema_extra={"default": {}},
    )
    status: ReleaseStatus | None = Field(
        None, description="What the gateway is; written by the operator. Default: none.", json_schema_extra=OPEN
    )
