"""What can be asked for and which right it takes: the one table that decides over every route.

Rights are Kubernetes' own: a route is allowed exactly when the API server says that the user may `verb` the resource
in the namespace, or everywhere where the route is about the cluster.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from gateway_operator.crds.base import GROUP

Scope = Literal["project", "cluster", "listed", "path"]
CLUSTER_URL_NAMESPACE = "kubesphere-system"  # how URLs name the cluster gateway
MONITORING = "monitoring.kubesphere.io"


@dataclass(frozen=True)
class Right:
    """One row: what the API server is asked.

    `scope` project: the namespace of the URL (`kubesphere-system`: all namespaces); cluster: always all namespaces;
    listed: everybody who is known, and the answer holds only what they may see; path: a URL path, not a resource.
    """

    group: str
    resource: str
    subresource: str
    verb: str
    scope: Scope


class Action(enum.Enum):
    """What a route does, in terms of rights."""

    LIST_GATEWAYS = "list gateways"
    VIEW_GATEWAYS = "view gateways"
    CREATE_GATEWAY = "create a gateway"
    UPDATE_GATEWAY = "update a gateway"
    PATCH_GATEWAY = "patch a gateway"
    DELETE_GATEWAY = "delete a gateway"
    UPGRADE_GATEWAY = "upgrade a gateway"
    VIEW_CLASSES = "view ingress classes"
    VIEW_PROVIDERS = "view the catalogue of providers"
    VIEW_HISTORY = "view a gateway's history"
    ROLLBACK_GATEWAY = "roll a gateway back"
    VIEW_PODS = "view a gateway's pods"
    VIEW_POD_LOG = "view the log of a gateway's pod"
    VIEW_LOGS = "search a gateway's logs"
    VIEW_METRICS = "view a gateway's metrics"
    VIEW_CATALOG = "view the catalogue of metrics"
    VIEW_OWN_METRICS = "view the API's own metrics"


RIGHTS: dict[Action, Right] = {
    Action.LIST_GATEWAYS: Right(GROUP, "gateways", "", "get", "listed"),
    Action.VIEW_GATEWAYS: Right(GROUP, "gateways", "", "get", "project"),
    Action.CREATE_GATEWAY: Right(GROUP, "gateways", "", "create", "project"),
    Action.UPDATE_GATEWAY: Right(GROUP, "gateways", "", "update", "project"),
    Action.PATCH_GATEWAY: Right(GROUP, "gateways", "", "patch", "project"),
    Action.DELETE_GATEWAY: Right(GROUP, "gateways", "", "delete", "project"),
    Action.UPGRADE_GATEWAY: Right(GROUP, "gateways", "", "create", "project"),
    Action.VIEW_CLASSES: Right(GROUP, "gateways", "", "get", "project"),
    Action.VIEW_PROVIDERS: Right(GROUP, "gateways", "", "get", "listed"),
    Action.VIEW_HISTORY: Right(GROUP, "gateways", "history", "get", "project"),
    Action.ROLLBACK_GATEWAY: Right(GROUP, "gateways", "", "update", "project"),
    Action.VIEW_PODS: Right(GROUP, "gateways", "pods", "get", "project"),
    Action.VIEW_POD_LOG: Right(GROUP, "gateways", "log", "get", "project"),
    Action.VIEW_LOGS: Right(GROUP, "gateways", "logs", "get", "project"),
    Action.VIEW_METRICS: Right(MONITORING, "ingresses", "", "get", "project"),
    Action.VIEW_CATALOG: Right(MONITORING, "ingresses", "", "get", "listed"),
    Action.VIEW_OWN_METRICS: Right("", "/metrics", "", "get", "path"),
}
MANAGE_CLUSTER = Right(GROUP, "gateways", "", "update", "cluster")
VIEW_CLUSTER = Right(GROUP, "gateways", "", "get", "cluster")
# What needs no right at all: probes, and the description of the API itself.
PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json"})
