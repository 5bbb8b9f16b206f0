"""What routes work with, handed to the app once; nothing in `web` builds clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from gateway_operator.health import Report
from gateway_operator.settings_api import ApiSettings
from gateway_operator.web.access import Access
from gateway_operator.web.changes import Changes
from gateway_operator.web.gateways import Gateways
from gateway_operator.web.limits import Limits
from gateway_operator.web.listing import bad_parameter
from gateway_operator.web.pods import Pods
from gateway_operator.web.providers import Providers
from gateway_operator.web.releases import Releases

Probe = Callable[[], Awaitable[str | None]]


@dataclass(frozen=True)
class Services:
    """The parts behind the routes; `logs` and `metrics` are None where their backend isn't configured.

    `probes` say what is wrong with a backend, or None; a backend that is down leaves the rest working.
    """

    gateways: Gateways
    access: Access
    limits: Limits
    releases: Releases
    settings: ApiSettings
    logs: Any = None
    metrics: Any = None
    probes: tuple[tuple[str, Probe], ...] = ()
    providers: Providers = field(default_factory=lambda: Providers(None))

    @property
    def changes(self) -> Changes:
        """What writes."""
        return Changes(self.gateways, self.access, self.releases)

    @property
    def pods(self) -> Pods:
        """What looks at pods."""
        return Pods(self.gateways.api)

    async def readiness(self) -> Report:
        """Say which parts answer, by name only: this is public."""
        down = {"kubernetes": "the Gateways can't be read"} if self.gateways.problem() else {}
        for name, probe in self.probes:
            if await probe():
                down[name] = "doesn't answer"
        parts = {"logs": self.logs is not None, "metrics": self.metrics is not None}
        return Report("kubernetes" not in down, {"down": down, "configured": parts})


async def services_of(request: Request) -> Services:
    """Return the services of the app that serves a request.

    A coroutine, because the framework runs other functions that routes depend on in threads, and waits for them.
    """
    services: Services = request.app.state.services
    return services


def parameters(request: Request) -> dict[str, str]:
    """Return the query's parameters. Raises Problem 422 for one that is given twice: which one would count?"""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise bad_parameter(name, "is given twice")
        found[name] = value
    return found


Serving = Annotated[Services, Depends(services_of)]
