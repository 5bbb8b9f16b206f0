"""What there is to choose from: ingress classes for an Ingress, and providers' options for a gateway's Service."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from gateway_operator.web import views
from gateway_operator.web.access import Action, allowed
from gateway_operator.web.actions import CLUSTER_URL_NAMESPACE
from gateway_operator.web.bodies import JSON
from gateway_operator.web.classes import known_classes, shown
from gateway_operator.web.docs import ALWAYS, problems
from gateway_operator.web.providers import Catalogue
from gateway_operator.web.routes.gateways import PREFIX, Namespace
from gateway_operator.web.services import Serving

router = APIRouter(prefix=PREFIX, tags=["gateways"])


class Server(BaseModel):
    """A gateway that serves a class; `withoutClass`: and Ingresses that name none."""

    namespace: str
    name: str
    scope: str = Field(examples=["Cluster"])
    project: str = ""
    withoutClass: bool  # noqa: N815 - a client's word


class ClassShape(BaseModel):
    """An ingress class: `managed` where gateways here serve it, else it is the business of its controller.

    `default`: the API server gives it to Ingresses without a class. `exists`: there is an IngressClass object; the
    gateway of a project serves its class by name, with or without one.
    """

    name: str = Field(examples=["nginx"])
    controller: str = Field(examples=["gateway.kubesphere.io/kubesphere-controls-system.main"])
    default: bool
    exists: bool
    managed: bool
    gateways: list[Server]


class ClassList(BaseModel):
    """The classes, in the order of their names."""

    items: list[ClassShape]
    totalItems: int  # noqa: N815 - KubeSphere's word


@router.get(
    "/namespaces/{namespace}/ingressclasses",
    summary="Ingress classes that a project can use",
    responses={200: {"model": ClassList, "description": "The classes."}, **problems(*ALWAYS)},
    dependencies=[Depends(allowed(Action.VIEW_CLASSES))],
)
async def ingress_classes(namespace: Namespace, services: Serving) -> Response:
    """Show the cluster's ingress classes and which gateways serve the project's Ingresses of each; others' as well."""
    gateways = services.gateways
    serving = gateways.all() if namespace == CLUSTER_URL_NAMESPACE else gateways.serving(namespace)
    found = shown(await known_classes(gateways.api), serving)
    return Response(views.dump({"items": found, "totalItems": len(found)}), media_type=JSON)


@router.get(
    "/providers",
    summary="Load balancers and their options",
    responses={200: {"model": Catalogue, "description": "What the administrator wrote."}, **problems(*ALWAYS)},
)
async def providers(
    services: Serving, _subject: Annotated[object, Depends(allowed(Action.VIEW_PROVIDERS))]
) -> Response:
    """Show the catalogue of providers: types and annotations to choose from, of which none is set by itself."""
    return Response(views.dump(services.providers.catalogue().model_dump()), media_type=JSON)
