"""The OpenAPI document: what FastAPI knows of the routes, who may ask, and which errors to expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from gateway_operator.web.actions import PUBLIC_PATHS, RIGHTS, Action
from gateway_operator.web.problems import MEDIA_TYPE
from gateway_operator.web.schemas import EXAMPLE, ProblemShape

_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token that the cluster's API server accepts."},
    "clientCertificate": {"type": "mutualTLS", "description": "A certificate of the cluster's client CA."},
}
_WHEN = {
    400: "The request can't be read.",
    401: "Nobody is known by these credentials.",
    403: "The user may not do this.",
    404: "There is no such thing.",
    409: "It contradicts what is there.",
    413: "The body is too large.",
    415: "The body is of a wrong type.",
    422: "A parameter or a field is wrong.",
    429: "Too many requests.",
    503: "What is behind the API is down; `down` names it.",
    504: "What is behind the API took too long.",
}
ALWAYS = (400, 401, 403, 422, 429, 503)


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route for errors."""
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemShape.__name__}"}}}
    return {code: {"description": _WHEN[code], "content": content} for code in sorted(codes)}


def body(schema: str, *types: str, required: bool = True) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads its body itself, after the user was judged."""
    reference = {"$ref": f"#/components/schemas/{schema}"}
    example = {"example": EXAMPLE} if schema == "GatewayShape" else {}
    content = {type_: {"schema": reference, **example} for type_ in types or ("application/json",)}
    return {"requestBody": {"required": required, "content": content}}


def query(texts: Mapping[str, str], **schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads its query itself: texts by name, and schemas that are no string.

    Declared as arguments, twenty parameters would cost a request more time than all that is ours.
    """
    found = [
        {"name": name, "in": "query", "description": text, "schema": schemas.get(name, {"type": "string"})}
        for name, text in texts.items()
    ]
    return {"parameters": found}


def describe(app: FastAPI, version: str, routes: Sequence[APIRoute]) -> None:
    """Let the app make its OpenAPI document by our rules."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _document(app, version, routes)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def action_of(route: APIRoute) -> Action | None:
    """Return the action that a route's guard asks for."""
    for dependency in route.dependant.dependencies:
        found = getattr(dependency.call, "__dict__", {}).get("action")
        if isinstance(found, Action):
            return found
    return None


def _document(app: FastAPI, version: str, routes: Sequence[APIRoute]) -> dict[str, Any]:
    document = get_openapi(
        title="gateway-operator API",
        version=version,
        openapi_version="3.1.0",
        summary="Gateways, their logs and their metrics, for tenants.",
        routes=app.routes,
    )
    parts = document.setdefault("components", {})
    parts.setdefault("schemas", {})[ProblemShape.__name__] = ProblemShape.model_json_schema()
    for name in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(name, None)
    parts["securitySchemes"] = _SECURITY
    for route in routes:
        if route.path not in PUBLIC_PATHS:
            for method in route.methods or ():
                _secure(document["paths"][route.path][method.lower()], action_of(route))
    return document


def _secure(operation: dict[str, Any], action: Action | None) -> None:
    operation["security"] = [{"bearer": []}, {"clientCertificate": []}]
    if action is not None:
        right = RIGHTS[action]
        operation["x-required-right"] = {
            "apiGroup": right.group,
            "resource": f"{right.resource}/{right.subresource}" if right.subresource else right.resource,
            "verb": right.verb,
            "scope": right.scope,
        }
