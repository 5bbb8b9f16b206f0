"""The names of all namespaces, from a watch of their metadata: routes in access lines are told apart by them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from gateway_operator.kube import Api, Informer
from gateway_operator.web.gateways import wait_for_kind
from gateway_operator.web.problems import Problem


class Projects:
    """The namespaces of the cluster."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._informer: Informer | None = None

    async def run(self) -> None:
        """Keep the names until cancelled."""
        resource = await wait_for_kind(self._api, "v1", "Namespace")
        self._informer = Informer(
            self._api, resource, metadata_only=True, strip=lambda obj: {"metadata": {"name": obj["metadata"]["name"]}}
        )
        await self._informer.run()

    async def names(self) -> AbstractSet[str]:
        """Return all names. Raises Problem 503 while they aren't known."""
        if self._informer is None or not self._informer.synced.is_set():
            raise Problem(503, "ProjectsUnknown", "the namespaces can't be read now; try again", down="kubernetes")
        return {name for _, name in self._informer.store}
