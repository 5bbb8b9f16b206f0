"""Logs of gateways under KubeSphere's path: whose they are is decided by who asks and by the namespace of the URL.

One route for four operations, as in KubeSphere; an export begins only when Elasticsearch has answered, so that what
is down is an error and no empty file.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from gateway_operator.observe.logs import MEDIA_TYPES, SUFFIXES, LogQuery, Logs, read
from gateway_operator.observe.tenant import Tenant
from gateway_operator.web.access import Action, Subject, allowed
from gateway_operator.web.docs import ALWAYS, problems, query
from gateway_operator.web.problems import Problem
from gateway_operator.web.routes.gateways import PREFIX, Name, Namespace
from gateway_operator.web.services import Serving, parameters
from gateway_operator.web.streams import Counted, Stream

router = APIRouter(prefix=PREFIX, tags=["logs"])
_RECORD = {
    "log": '203.0.113.7 - - [21/Nov/2026:10:00:00 +0000] "GET /tea HTTP/1.1" 200 2 "-" "curl/8" 77 0.004 [shop-tea-80] '
    "[] 10.1.0.5:8080 2 0.004 200 5f0c",
    "time": "2026-11-21T10:00:00.000Z",
    "namespace": "kubesphere-controls-system",
    "pod": "kubesphere-router-shop-7d9f8b6c5d-x2x9z",
    "container": "controller",
    "access": {"status": 200, "method": "GET", "path": "/tea", "latency": 0.004, "upstream": "10.1.0.5:8080"},
}
_EXAMPLES = {
    "query": {"value": {"query": {"total": 1, "records": [_RECORD]}}},
    "statistics": {"value": {"statistics": {"containers": 2, "logs": 1024}}},
    "histogram": {"value": {"histogram": {"total": 3, "histograms": [{"time": 1795255200000, "count": 3}]}}},
}
_ANSWER = {
    "description": "KubeSphere's shapes; `partial` lists why lines may be missing. An export is a file.",
    "content": {
        "application/json": {"schema": {"type": "object"}, "examples": _EXAMPLES},
        **{kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()},
    },
}
_PARAMETERS = query(
    {
        "operation": "query (default), statistics, histogram or export.",
        "log_query": "Words at a comma, any of which a line has.",
        "pod_query": "Parts of pods' names.",
        "containers": "Exact names of containers.",
        "container_query": "Parts of containers' names.",
        "start_time": "Unix seconds.",
        "end_time": "Unix seconds.",
        "interval": "Of a histogram, as 15m (default), 1h, 1d.",
        "sort": "desc (default) or asc, by time.",
        "from": "Records to leave out, default 0.",
        "size": "Records, default 10, at most 1000.",
        "status": "Of access lines: 404, 5xx or 500-503.",
        "method": "Of access lines: GET,POST.",
        "host": "Of access lines: a.example.com or *.example.com.",
        "path": "What the path of access lines starts with.",
        "latency_min": "Seconds.",
        "latency_max": "Seconds.",
        "upstream": "Part of the upstream's address.",
        "cluster": "Of access lines: exact names of clusters.",
        "top": "Of statistics: most frequent status, method, host, path, upstream or cluster.",
        "format": "Of an export: text (default), ndjson or csv.",
        "highlight": "true: mark the words of log_query.",
    }
)
_RESPONSES: dict[int | str, dict[str, Any]] = {200: _ANSWER, **problems(*ALWAYS, 404, 409, 504)}


@router.get(
    "/namespaces/{namespace}/gateways/{gateway}/logs",
    summary="Search a gateway's logs",
    responses=_RESPONSES,
    openapi_extra=_PARAMETERS,
)
async def search(
    request: Request,
    namespace: Namespace,
    gateway: Name,
    services: Serving,
    subject: Annotated[Subject, Depends(allowed(Action.VIEW_LOGS))],
) -> Response:
    """Search, count or export the logs of a project's gateway; on the cluster's a project sees its own access lines."""
    asked = read(parameters(request))
    logs: Logs | None = services.logs
    if logs is None:
        raise Problem(503, "LogsNotConfigured", "the API knows no Elasticsearch", down="elasticsearch")
    tenant = await services.gateways.tenant(namespace, gateway)
    if asked.operation == "export":
        with services.limits.stream(subject.name):
            source = await _Begun.of(logs.export(tenant, asked))
        return Stream(
            Counted(source, services.limits.stream(subject.name)), MEDIA_TYPES[asked.format], _as_file(tenant, asked)
        )
    return JSONResponse(await logs.answer(tenant, asked))


def _as_file(tenant: Tenant, query: LogQuery) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{tenant.gateway}.{SUFFIXES[query.format]}"'}


class _Begun:
    """A generator whose first piece is here already, so that its errors came before the answer's status."""

    def __init__(self, first: bytes | None, rest: AsyncGenerator[bytes, None]) -> None:
        self._first = first
        self._rest = rest

    @classmethod
    async def of(cls, pieces: AsyncGenerator[bytes, None]) -> Self:
        """Wait for the first piece. Raises what making it raises."""
        return cls(await anext(pieces, None), pieces)

    def __aiter__(self) -> Self:
        """Iterate over all pieces."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        first, self._first = self._first, None
        return first if first is not None else await anext(self._rest)

    async def aclose(self) -> None:
        """End the generator, and what it holds in Elasticsearch."""
        await self._rest.aclose()
