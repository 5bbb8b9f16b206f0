"""Puts the HTTP app together from its services: routes, errors, limits, the OpenAPI document."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.routing import APIRoute

from gateway_operator import __version__
from gateway_operator.web.docs import describe
from gateway_operator.web.middleware import Around
from gateway_operator.web.problems import add_handlers
from gateway_operator.web.routes import choices, gateways, health, logs, metrics, pods
from gateway_operator.web.services import Services

ROUTERS = (gateways.router, choices.router, pods.router, logs.router, metrics.router, health.router)


def build_app(services: Services) -> FastAPI:
    """Return the app."""
    app = bare_app()
    app.state.services = services
    app.add_middleware(Around, body_bytes=services.settings.api.limits.body_bytes)
    add_handlers(app)
    return app


def bare_app() -> FastAPI:
    """Return the app with nothing behind it: enough to describe it."""
    app = FastAPI(
        title="gateway-operator API", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    for router in ROUTERS:
        app.include_router(router)
    describe(app, __version__, api_routes())
    return app


def api_routes() -> list[APIRoute]:
    """Return all routes of the app but the OpenAPI document."""
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
