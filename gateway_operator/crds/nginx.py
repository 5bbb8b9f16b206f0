"""The kind `Nginx`: its spec is the values document of the ingress-nginx chart.

It stands between a Gateway and the chart, as in KubeSphere; written by hand it can reach every value, so only
administrators of the cluster get rights on it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from gateway_operator.crds.base import OPEN, Column, Crd, Kind, ReleaseStatus, ready_columns


class Nginx(Kind):
    """An Nginx is one release of the ingress-nginx chart, its spec the chart's values; a Gateway makes one."""

    crd: ClassVar[Crd] = Crd(
        kind="Nginx",
        plural="nginxes",
        short_name="ngx",
        columns=(
            Column("Scope", ".status.scope", "Cluster (all namespaces) or Project (one namespace)"),
            Column("Address", ".status.address", "Where traffic goes"),
            Column("Replicas", ".status.replicas", "Pods of the gateway", "integer"),
            *ready_columns(),
        ),
        selectable=(".status.scope",),
    )
    spec: dict[str, Any] | None = Field(
        None, description="Values of the ingress-nginx chart. Default: the chart's values."
    )
    status: ReleaseStatus | None = Field(
        None, description="What the release is; written by the operator. Default: none.", json_schema_extra=OPEN
    )
