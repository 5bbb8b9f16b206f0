"""A gateway's pods and their logs, and the history of its release."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import Response

from gateway_operator.web import views
from gateway_operator.web.access import Action, Subject, allowed
from gateway_operator.web.bodies import JSON, json_object
from gateway_operator.web.docs import ALWAYS, body, problems, query
from gateway_operator.web.pods import pick
from gateway_operator.web.problems import Problem
from gateway_operator.web.routes.gateways import PREFIX, Name, Namespace
from gateway_operator.web.schemas import GatewayShape, History, PodList, Rollback
from gateway_operator.web.services import Serving, parameters
from gateway_operator.web.streams import Counted, Stream

GATEWAY = f"{PREFIX}/namespaces/{{namespace}}/gateways/{{gateway}}"
ROLLBACK = "gateway.kubesphere.io/rollback-to"  # the annotation by which the operator is asked
router = APIRouter(prefix=GATEWAY, tags=["gateways"])
_TEXT = {"text/plain": {"schema": {"type": "string"}, "example": "I1121 10:00:00 reloaded nginx\n"}}
_LISTED = query(
    {
        "name": "Part of the name.",
        "names": "Names, with commas between.",
        "nodeName": "The node.",
        "phase": "Running, Pending, ...",
        "status": "The same as phase.",
        "pvcName": "A claim that is mounted.",
        "serviceName": "The gateway's Service; no pods for others.",
        "page": "Which page, from 1.",
        "limit": "Pods on a page; -1: all.",
        "sortBy": "name, or else the time of creation.",
        "ascending": "true: the first name or the eldest first.",
    },
    page={"type": "integer", "minimum": 1, "default": 1},
    limit={"type": "integer", "minimum": -1, "default": -1},
)
_LOG = query(
    {
        "container": "One of the pod's containers.",
        "follow": "true or false",
        "previous": "true or false",
        "timestamps": "true or false",
        "sinceSeconds": "Seconds before now.",
        "sinceTime": "As 2026-01-31T10:00:00Z.",
        "tailLines": "Lines from the end; -1: all.",
        "limitBytes": "Bytes at most.",
    }
)
_RAN = frozenset({"deployed", "superseded"})


@router.get(
    "/pods",
    summary="A gateway's pods",
    responses={200: {"model": PodList}, **problems(*ALWAYS, 404)},
    openapi_extra=_LISTED,
)
async def list_pods(
    request: Request,
    namespace: Namespace,
    gateway: Name,
    services: Serving,
    _subject: Annotated[Subject, Depends(allowed(Action.VIEW_PODS))],
) -> Response:
    """List the pods of a project's own gateway, or of the cluster's."""
    found = await services.pods.of(services.gateways.find(namespace, gateway))
    return Response(views.dump(pick(found, parameters(request), gateway)), media_type=JSON)


@router.get(
    "/pods/{pod}/log",
    summary="The log of one pod",
    responses={200: {"content": _TEXT, "description": "The log."}, **problems(*ALWAYS, 404)},
    openapi_extra=_LOG,
)
async def pod_log(
    request: Request,
    namespace: Namespace,
    gateway: Name,
    pod: Name,
    services: Serving,
    subject: Annotated[Subject, Depends(allowed(Action.VIEW_POD_LOG))],
) -> Response:
    """Stream the log of a pod of the gateway; with `follow=true` until the client leaves."""
    entry = services.gateways.find(namespace, gateway)
    with services.limits.stream(subject.name):
        source = await services.pods.log(entry, pod, parameters(request))
    return Stream(Counted(source, services.limits.stream(subject.name)), "text/plain; charset=utf-8")


@router.get("/history", summary="Revisions", responses={200: {"model": History}, **problems(*ALWAYS, 404)})
async def history(
    namespace: Namespace,
    gateway: Name,
    services: Serving,
    _subject: Annotated[Subject, Depends(allowed(Action.VIEW_HISTORY))],
) -> Response:
    """Show the revisions of a gateway's release, the oldest first."""
    entry = services.gateways.find(namespace, gateway)
    known = await services.releases.history(entry.obj)
    held = str(entry.annotations.get(ROLLBACK) or "")
    return Response(views.dump({**known, "heldAt": int(held) if held.isdigit() else None}), media_type=JSON)


@router.post(
    "/rollback",
    summary="Go back to a revision",
    responses={200: {"model": GatewayShape}, **problems(*ALWAYS, 404, 409, 413, 415)},
    openapi_extra=body("Rollback"),
)
async def rollback(
    request: Request,
    namespace: Namespace,
    gateway: Name,
    services: Serving,
    _subject: Annotated[Subject, Depends(allowed(Action.ROLLBACK_GATEWAY))],
) -> Response:
    """Ask the operator to bring a revision back and to hold the gateway there; its status tells how it goes."""
    try:
        wanted = Rollback.model_validate(await json_object(request)).revision
    except ValidationError as error:
        raise Problem(422, "Invalid", f"revision: {error.errors()[0]['msg']}") from error
    entry = services.gateways.find(namespace, gateway)
    known = (await services.releases.history(entry.obj))["revisions"]
    ran = [one["revision"] for one in known if one["status"] in _RAN]
    if wanted not in ran:
        raise Problem(409, "NoRevision", f"there is no revision {wanted} that ran; see `revisions`", revisions=ran)
    return Response(views.dump(await services.changes.annotate(entry, {ROLLBACK: str(wanted)})), media_type=JSON)


@router.delete(
    "/rollback", summary="Follow the spec again", responses={200: {"model": GatewayShape}, **problems(*ALWAYS, 404)}
)
async def resume(
    namespace: Namespace,
    gateway: Name,
    services: Serving,
    _subject: Annotated[Subject, Depends(allowed(Action.ROLLBACK_GATEWAY))],
) -> Response:
    """End a rollback: the gateway becomes what its spec says."""
    entry = services.gateways.find(namespace, gateway)
    return Response(views.dump(await services.changes.annotate(entry, {ROLLBACK: None})), media_type=JSON)
