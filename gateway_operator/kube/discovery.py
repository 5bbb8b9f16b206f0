"""Knows which kinds the API server serves.

Answers are kept for good and asked again only on a miss, so that a CRD that comes later is found, and a busy operator
does not download the OpenAPI document of the whole cluster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gateway_operator.errors import KindNotServed, NotFound
from gateway_operator.kube.objects import Resource

Request = Callable[..., Awaitable[Any]]


class Discovery:
    """Maps (apiVersion, kind) to a Resource; `request(method, path)` asks the API server."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._known: dict[tuple[str, str], Resource] = {}

    async def resource(self, api_version: str, kind: str) -> Resource:
        """Look a kind up. Raises KindNotServed, or ApiError when the server can't be asked."""
        known = self._known.get((api_version, kind))
        if known is None:
            await self._read(api_version, kind)
            known = self._known.get((api_version, kind))
        if known is None:
            raise KindNotServed(api_version, kind)
        return known

    async def _read(self, api_version: str, kind: str) -> None:
        path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            answer = await self._request("GET", path)
        except NotFound as error:
            raise KindNotServed(api_version, kind) from error
        group, _, version = api_version.rpartition("/")
        for entry in answer.get("resources", []):
            if "/" not in entry["name"]:  # subresources have one
                self._known[api_version, entry["kind"]] = Resource(
                    group, version, entry["kind"], entry["name"], entry["namespaced"], tuple(entry.get("verbs", []))
                )
