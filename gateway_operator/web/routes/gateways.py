"""Gateways over HTTP: KubeSphere's paths and shapes; a path with a gateway's name serves where there are several."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from gateway_operator.crds.base import API_VERSION
from gateway_operator.web import views
from gateway_operator.web.access import Action, Subject, allowed
from gateway_operator.web.bodies import JSON, MERGE_PATCH, json_object
from gateway_operator.web.docs import ALWAYS, body, problems, query
from gateway_operator.web.entries import Entry
from gateway_operator.web.events import MEDIA_TYPE, events
from gateway_operator.web.listing import parse_query
from gateway_operator.web.problems import Problem
from gateway_operator.web.schemas import EVENTS_EXAMPLE, GatewayList, GatewayShape, Leaving, Message, PlanShape
from gateway_operator.web.services import Services, Serving, parameters
from gateway_operator.web.sight import sight_in, sight_of
from gateway_operator.web.streams import Counted, Stream

PREFIX = f"/kapis/{API_VERSION}"
router = APIRouter(prefix=PREFIX, tags=["gateways"])
Namespace = Annotated[
    str,
    Path(
        pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        description="The project that the gateway serves; kubesphere-system: the cluster.",
    ),
]
Name = Annotated[
    str, Path(pattern=r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$", description="Name of the Gateway object.")
]
DryRun = Annotated[
    Literal["All", "plan", ""],
    Query(alias="dryRun", description="All: check and write nothing; plan: and say what the operator would do."),
]
Wait = Annotated[int, Query(ge=0, le=60, description="Seconds to wait until all of it is gone; 202 when it isn't.")]
_ONE: dict[int | str, dict[str, Any]] = {200: {"model": GatewayShape, "description": "The gateway."}}
_WRITTEN: dict[int | str, dict[str, Any]] = {
    200: {"model": GatewayShape | PlanShape, "description": "The gateway, or the plan."}
}
_DELETED: dict[int | str, dict[str, Any]] = {
    200: {"model": Message, "description": "It is gone, or goes and nobody wanted to wait."},
    202: {"model": Leaving, "description": "It is not gone yet."},
}
_FLAG = {"type": "string", "enum": ["true", "false", "1", "0", ""]}
_LISTED = query(
    {
        "page": "Which page, from 1.",
        "limit": "Gateways on a page; -1: all.",
        "sortBy": "name, or else the time of creation.",
        "ascending": "true: the first name or the eldest first.",
        "labelSelector": "As kubectl's -l.",
        "name": "Part of the name.",
        "names": "Names, with commas between.",
        "namespace": "The project that is served.",
        "uid": "Its UID.",
        "label": "key or key=value.",
        "annotation": "key or key=value.",
        "watch": "Server-sent events instead.",
    },
    page={"type": "integer", "minimum": 1, "default": 1},
    limit={"type": "integer", "minimum": -1, "default": -1},
    ascending=_FLAG,
    watch=_FLAG,
)
_EVENTS = {MEDIA_TYPE: {"schema": {"type": "string"}, "example": EVENTS_EXAMPLE}}


@router.get(
    "/gateways",
    summary="All gateways that you may see",
    responses={200: {"model": GatewayList, "content": _EVENTS, "description": "A page."}, **problems(*ALWAYS)},
    openapi_extra=_LISTED,
)
async def list_gateways(
    request: Request,
    services: Serving,
    subject: Annotated[Subject, Depends(allowed(Action.LIST_GATEWAYS))],
) -> Response:
    """List gateways, the youngest first; `watch=true` streams what is there and then each change."""
    params = parameters(request)
    wanted = parse_query(params)
    gateways, access = services.gateways, services.access
    entries = gateways.all()
    sight = await sight_of(access, subject, entries)
    if params.get("watch") in {"true", "1"}:
        source = events(gateways, access, request, subject, wanted, sight)
        return Stream(Counted(source, services.limits.stream(subject.name)), MEDIA_TYPE)
    found, total = wanted.pick(entry for entry in entries if sight.shows(entry))
    items = b",".join(sight.body(entry) for entry in found)
    return Response(b'{"items":[%s],"totalItems":%d}' % (items, total), media_type=JSON)


@router.get(
    "/namespaces/{namespace}/gateways",
    summary="The gateways that serve a project",
    responses={200: {"model": list[GatewayShape], "description": "The cluster's, then its own."}, **problems(*ALWAYS)},
)
async def serving(
    namespace: Namespace, services: Serving, subject: Annotated[Subject, Depends(allowed(Action.VIEW_GATEWAYS))]
) -> Response:
    """Show which gateways serve a project: the cluster's in outline, its own in full."""
    found = services.gateways.serving(namespace)
    sight = await sight_in(services.access, subject, namespace)
    return Response(b"[%s]" % b",".join(sight.body(entry) for entry in found), media_type=JSON)


@router.get(
    "/namespaces/{namespace}/gateways/{gateway}",
    summary="One gateway",
    responses={**_ONE, **problems(*ALWAYS, 404)},
)
async def get_gateway(
    namespace: Namespace,
    gateway: Name,
    services: Serving,
    _subject: Annotated[Subject, Depends(allowed(Action.VIEW_GATEWAYS))],
) -> Response:
    """Show one gateway of a project itself, or of the cluster."""
    return Response(services.gateways.find(namespace, gateway).full, media_type=JSON)


@router.post(
    "/namespaces/{namespace}/gateways",
    summary="Create a gateway",
    responses={**_WRITTEN, **problems(*ALWAYS, 404, 409, 413, 415)},
    openapi_extra=body("GatewayShape"),
)
async def create(
    request: Request,
    namespace: Namespace,
    services: Serving,
    subject: Annotated[Subject, Depends(allowed(Action.CREATE_GATEWAY))],
    dry_run: DryRun = "",
) -> Response:
    """Create the gateway of a project or the cluster; its name and scope are the server's word."""
    sent = await json_object(request)
    return _json(await services.changes.create(subject, namespace, sent, dry_run))


@router.put(
    "/namespaces/{namespace}/gateways",
    summary="Replace the gateway",
    responses={**_WRITTEN, **problems(*ALWAYS, 404, 409, 413, 415)},
    openapi_extra=body("GatewayShape"),
)
async def replace_only(
    request: Request,
    namespace: Namespace,
    services: Serving,
    subject: Annotated[Subject, Depends(allowed(Action.UPDATE_GATEWAY))],
    dry_run: DryRun = "",
) -> Response:
    """Replace the gateway that the body names by the body, as it was read and changed."""
    sent = await json_object(request)
    meta = sent.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    entry = services.gateways.find(namespace, name if isinstance(name, str) else "")
    return _json(await services.changes.replace(subject, entry, namespace, sent, dry_run))


@router.put(
    "/namespaces/{namespace}/gateways/{gateway}",
    summary="Replace a gateway",
    responses={**_WRITTEN, **problems(*ALWAYS, 404, 409, 413, 415)},
    openapi_extra=body("GatewayShape"),
)
async def replace(
    request: Request,
    namespace: Namespace,
    gateway: Name,
    services: Serving,
    subject: Annotated[Subject, Depends(allowed(Action.UPDATE_GATEWAY))],
    dry_run: DryRun = "",
) -> Response:
    """Replace a gateway by the body, as it was read and changed."""
    sent = await json_object(request)
    entry = services.gateways.find(namespace, gateway)
    return _json(await services.changes.replace(subject, entry, namespace, sent, dry_run))


@router.patch(
    "/namespaces/{namespace}/gateways",
    summary="Change the gateway",
    responses={**_WRITTEN, **problems(*ALWAYS, 404, 409, 413, 415)},
    openapi_extra=body("GatewayShape", MERGE_PATCH, JSON),
)
async def patch_only(
    request: Request,
    namespace: Namespace,
    services: Serving,
    subject: Annotated[Subject, Depends(allowed(Action.PATCH_GATEWAY))],
    dry_run: DryRun = "",
) -> Response:
    """Merge a patch (RFC 7386) into the only gateway of a project or the cluster."""
    sent = await json_object(request, MERGE_PATCH, JSON)
    entry = services.gateways.find(namespace)
    return _json(await services.changes.patch(subject, entry, namespace, sent, dry_run))


@router.patch(
    "/namespaces/{namespace}/gateways/{gateway}",
    summary="Change a gateway",
    responses={**_WRITTEN, **problems(*ALWAYS, 404, 409, 413, 415)},
    openapi_extra=body("GatewayShape", MERGE_PATCH, JSON),
)
async def patch(
    request: Request,
    namespace: Namespace,
    gateway: Name,
    services: Serving,
    subject: Annotated[Subject, Depends(allowed(Action.PATCH_GATEWAY))],
    dry_run: DryRun = "",
) -> Response:
    """Merge a patch (RFC 7386) into a gateway."""
    sent = await json_object(request, MERGE_PATCH, JSON)
    entry = services.gateways.find(namespace, gateway)
    return _json(await services.changes.patch(subject, entry, namespace, sent, dry_run))


@router.delete(
    "/namespaces/{namespace}/gateways",
    summary="Delete the gateway",
    responses={**_DELETED, **problems(*ALWAYS, 404, 409)},
)
async def delete_only(
    namespace: Namespace,
    services: Serving,
    subject: Annotated[Subject, Depends(allowed(Action.DELETE_GATEWAY))],
    wait: Wait = 0,
) -> Response:
    """Delete the only gateway of a project or the cluster; the operator then takes down what runs."""
    return await _delete(services, subject, services.gateways.find(namespace), wait)


@router.delete(
    "/namespaces/{namespace}/gateways/{gateway}",
    summary="Delete a gateway",
    responses={**_DELETED, **problems(*ALWAYS, 404, 409)},
)
async def delete(
    namespace: Namespace,
    gateway: Name,
    services: Serving,
    subject: Annotated[Subject, Depends(allowed(Action.DELETE_GATEWAY))],
    wait: Wait = 0,
) -> Response:
    """Delete a gateway; the operator then takes down what runs."""
    return await _delete(services, subject, services.gateways.find(namespace, gateway), wait)


@router.post(
    "/namespaces/{namespace}/gateways/{gateway}/upgrade",
    summary="Bring a router of KubeSphere 3.1 over",
    responses={**problems(*ALWAYS, 409)},
    status_code=409,
)
async def upgrade(
    namespace: Namespace, gateway: Name, _subject: Annotated[Subject, Depends(allowed(Action.UPGRADE_GATEWAY))]
) -> Response:
    """Answer that there is none: routers of 3.1 and older are brought over by hand."""
    del gateway
    raise Problem(409, "NoLegacyGateway", f'"{namespace}" has no router of KubeSphere 3.1 that could be upgraded')


async def _delete(services: Services, subject: Subject, entry: Entry, wait: int) -> Response:
    with services.limits.stream(subject.name) if wait else nullcontext():
        await services.changes.delete(entry)
        left = await services.gateways.until_gone(entry, wait) if wait else None
        if left is not None:
            said = {"message": "deleting", "waitingFor": views.waiting_for(left.obj), "gateway": views.full(left.obj)}
            return _json(said, 202)
    return _json({"message": "success"})


def _json(answer: dict[str, Any], status: int = 200) -> Response:
    return Response(views.dump(answer), status, media_type=JSON)
