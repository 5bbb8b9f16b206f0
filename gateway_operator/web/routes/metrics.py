"""Metrics of gateways under KubeSphere's paths: whose they are is decided by who asks and by the namespace of the URL.

The parameter `job` only chooses among the gateways that serve that namespace; nothing from a request gets into PromQL
but as the quoted value of a matcher.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from gateway_operator.observe.metrics import CATALOG, Asked, Metrics, as_json, read
from gateway_operator.observe.metrics.ground import job_of
from gateway_operator.observe.metrics.query import MetricsQuery
from gateway_operator.observe.tenant import Tenant
from gateway_operator.web.access import Action, allowed
from gateway_operator.web.docs import query
from gateway_operator.web.problems import Problem
from gateway_operator.web.services import Services, Serving, parameters

PREFIX = "/kapis/monitoring.kubesphere.io/v1alpha3"
router = APIRouter(prefix=PREFIX, tags=["metrics"])


class Row(BaseModel):
    """One series: a value of one moment, or values over time with their extremes."""

    metric: dict[str, str] = Field(description="Labels that tell series apart; empty where a metric has one only.")
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] | None = None
    min_value: str | None = None
    max_value: str | None = None
    avg_value: str | None = None


class Data(BaseModel):
    """The series of one metric."""

    resultType: str = Field(description="vector for one moment, matrix for a range.")  # noqa: N815 - Prometheus' name
    result: list[Row]


class Result(BaseModel):
    """What one metric says, or why it doesn't."""

    metric_name: str
    data: Data
    error: str | None = Field(None, description="This metric failed; the others hold.")
    empty: str | None = Field(
        None,
        description="Why there are no series: NotYourGateway, BeforeCreation, NotScraped, TargetDown, NoRequests, "
        "NotExposed.",
    )


class MetricsAnswer(BaseModel):
    """KubeSphere's shape; `window` is over how many seconds each value counts."""

    results: list[Result]
    page: int | None = None
    total_page: int | None = None
    total_item: int | None = None
    window: int


class CatalogRow(BaseModel):
    """One metric that can be asked for."""

    name: str
    unit: str
    description: str
    labels: list[str]
    own_gateway_only: bool
    standard: bool


class Catalog(BaseModel):
    """All metrics, KubeSphere's fifteen first."""

    items: list[CatalogRow]
    totalItems: int  # noqa: N815 - as in every list of this API


_EXAMPLE = {
    "results": [
        {
            "metric_name": "ingress_request_count",
            "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1767225600, "1024"]}]},
        }
    ],
    "window": 300,
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": MetricsAnswer, "content": {"application/json": {"example": _EXAMPLE}}}
}


_PARAMETERS = query(
    {
        "time": "One moment, unix seconds; default: now.",
        "start": "Begin of a range, unix seconds.",
        "end": "End of a range, unix seconds; default: now.",
        "step": "Distance of a range's points, as 30s, 10m (default), 1d.",
        "duration": "Window that counts and rates look at, as 5m (default), 1d, 1w.",
        "metrics_filter": "Regular expression found in the metrics' names.",
        "resources_filter": "Regular expression that an Ingress's whole name fits.",
        "pod": "Exact name of one of the gateway's pods.",
        "job": "Which gateway: the name of its metrics Service.",
        "sort_metric": "Sort Ingresses by this metric; only for one moment.",
        "sort_type": "desc (default) or asc.",
        "page": "Page of sorted Ingresses, from 1.",
        "limit": "Ingresses on a page, default 5.",
    }
)
_NAMES = frozenset(one.name for one in fields(Asked))


Namespace = Annotated[str, Path(description="A project; kubesphere-system: the cluster gateway.")]
IngressName = Annotated[str, Path(description="One Ingress by its exact name.")]
may_view = Depends(allowed(Action.VIEW_METRICS))


@router.get("/namespaces/{namespace}/ingresses", responses=_ANSWERS, dependencies=[may_view], openapi_extra=_PARAMETERS)
async def of_namespace(request: Request, namespace: Namespace, services: Serving) -> Response:
    """Metrics of a project's gateway, or of its share of the cluster's."""
    return await _answer(services, namespace, parameters(request), "")


@router.get(
    "/namespaces/{namespace}/ingresses/{ingress}",
    responses=_ANSWERS,
    dependencies=[may_view],
    openapi_extra=_PARAMETERS,
)
async def of_ingress(request: Request, namespace: Namespace, ingress: IngressName, services: Serving) -> Response:
    """Metrics of one Ingress."""
    return await _answer(services, namespace, parameters(request), ingress)


@router.get("/metrics/catalog", dependencies=[Depends(allowed(Action.VIEW_CATALOG))])
async def catalog() -> Catalog:
    """Names, units and meanings of the metrics."""
    rows = [
        CatalogRow(
            name=metric.name,
            unit=metric.unit,
            description=metric.description,
            labels=list(metric.labels),
            own_gateway_only=metric.own_gateway_only,
            standard=metric.standard,
        )
        for metric in CATALOG.values()
    ]
    return Catalog(items=rows, totalItems=len(rows))


async def _answer(services: Services, namespace: str, params: Mapping[str, str], ingress: str) -> Response:
    asked = Asked(**{name: value for name, value in params.items() if name in _NAMES})
    wanted = read(asked, time.time(), ingress=ingress)
    metrics: Metrics | None = services.metrics
    if metrics is None:
        raise Problem(503, "MetricsNotConfigured", "the API knows no Prometheus", down="prometheus")
    page = await metrics.ask(wanted, await _tenant(services, namespace, wanted))
    content = as_json(page, is_range=wanted.times.is_range)
    return Response(await asyncio.to_thread(json.dumps, content), media_type="application/json")


async def _tenant(services: Services, namespace: str, query: MetricsQuery) -> Tenant:
    """Return the namespace's view of the gateway whose job is named; without one of its usual gateway."""
    gateways = services.gateways
    named = (entry.name for entry in gateways.serving(namespace) if query.job == job_of(entry.name))
    return await gateways.tenant(namespace, next(named, query.job.removesuffix("-metrics")))
