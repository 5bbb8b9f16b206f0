"""Probes and the API's own metrics, on the API's port; the kubelet asks the plain ports of `health.py` instead."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from gateway_operator.web.access import Action, Subject, allowed
from gateway_operator.web.docs import problems
from gateway_operator.web.services import Serving

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Alive", response_class=PlainTextResponse)
async def healthz() -> Response:
    """Answer while the process works at all."""
    return PlainTextResponse("ok")


@router.get("/readyz", summary="Ready, and what is down", responses={503: {"description": "Something is down."}})
async def readyz(services: Serving) -> Response:
    """Say which parts answer: 503 only when gateways can't be told; logs and metrics may be down by themselves."""
    report = await services.readiness()
    return JSONResponse({"ready": report.ready, **report.details}, 200 if report.ready else 503)


@router.get("/metrics", summary="The API's own metrics", responses=problems(401, 403, 429, 503))
async def metrics(_subject: Annotated[Subject, Depends(allowed(Action.VIEW_OWN_METRICS))]) -> Response:
    """Return metrics in Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
