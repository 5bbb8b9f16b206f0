"""What happens when a custom resource is deleted: its release goes first, then the resource itself.

Custom resources that the release made are waited for as well: they have releases of their own, and their resource
must not vanish before what it asked for is gone.
"""

from __future__ import annotations

import contextlib
from typing import Any

from gateway_operator.errors import Conflict, NotFound
from gateway_operator.releases import names
from gateway_operator.releases.claims import Claims, owner_of
from gateway_operator.releases.finalizer import has_finalizer, remove_finalizers
from gateway_operator.releases.helm_errors import HelmError
from gateway_operator.releases.objects import release_of
from gateway_operator.releases.queue import Key
from gateway_operator.releases.records import ReleaseKey
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.status import Fault, Outcome
from gateway_operator.releases.tools import Tools
from gateway_operator.telemetry import get_logger

_POLL = 2.0  # beside the watch, which usually tells at once
_SEEN_WITHIN = 5.0
_log = get_logger(__name__)


class Deletion:
    """Takes a release away and lets its resource go."""

    def __init__(self, tools: Tools, claims: Claims) -> None:
        self._tools = tools
        self._claims = claims

    async def pursue(self, key: Key, row: Row, obj: Object, outcome: Outcome) -> float | None:
        """Do the next step. Returns when to look again, None when the resource may go.

        Raises ApiError, and HelmError with `outcome.failure` set.
        """
        if not has_finalizer(obj):
            return None
        release = self._claims.held(key)
        if release and await self._uninstall(key, row, obj, release, outcome):
            self._tools.recorder.event(obj, type_="Normal", reason="Uninstalled", message=f"release {release[1]}")
            _log.info("release uninstalled", object=str(key), release=release[1])
        elif release and self._tools.index.newest(release) is None:
            await self._sweep(release)
        left = await self._children(release) if release else []
        if left:
            outcome.progress = f"waiting for {', '.join(left[:3])} to go"
            return _POLL
        assert row.resource is not None  # noqa: S101 - an object came by it
        with contextlib.suppress(NotFound):
            await self._let_go(row, obj)
        return None

    async def _uninstall(self, key: Key, row: Row, obj: Object, release: ReleaseKey, outcome: Outcome) -> bool:
        newest = self._tools.index.newest(release)
        if newest is None or newest.owner not in {"", owner_of(key)}:
            return False
        if not newest.owner and not (obj.get("status") or {}).get("deployedRelease"):
            return False  # somebody's release of this name, which we never touched
        try:
            async with row.helm_slots:
                done = await self._tools.helm.uninstall(name=release[1], namespace=release[0])
        except HelmError as error:
            outcome.failure = Fault("UninstallError", f"{error.word}: {error}")
            raise
        await self._tools.index.wait_until(release, lambda r: r is None, _SEEN_WITHIN)
        self._tools.manifests.forget(release)
        return done

    async def _sweep(self, release: ReleaseKey) -> None:
        """Delete what is left where Helm's record is gone, as in a namespace that is being deleted. Raises ApiError."""
        for found in self._tools.dependents.made_by(release):
            resource = await self._tools.api.resource(found.api_version, found.kind)
            with contextlib.suppress(NotFound):
                await self._tools.api.delete(resource, found.name, found.namespace or None)
            _log.info("object without release record deleted", object=str(found), release=release[1])

    async def _children(self, release: ReleaseKey) -> list[str]:
        """List custom resources of watched kinds that the release made and that are still there."""
        found = []
        for row in self._tools.rows.values():
            if row.resource is None:
                continue
            try:
                listing = await self._tools.api.list(
                    row.resource, label_selector=names.MANAGED_BY_HELM, metadata_only=True, **self._scope(release, row)
                )
            except NotFound:  # the CRD went
                continue
            found += [f"{row.watch.kind} {i['metadata']['name']}" for i in listing.items if release_of(i) == release]
        return sorted(found)

    def _scope(self, release: ReleaseKey, row: Row) -> dict[str, Any]:
        """Look in the release's namespace first; charts that write elsewhere are rare, and rights may end there."""
        everywhere = not self._tools.settings.watch_namespaces
        namespaced = row.resource is not None and row.resource.namespaced
        return {} if everywhere or not namespaced else {"namespace": release[0]}

    async def _let_go(self, row: Row, obj: Object) -> None:
        assert row.resource is not None  # noqa: S101
        try:
            await remove_finalizers(self._tools.api, row.resource, obj)
        except Conflict:
            meta = obj["metadata"]
            fresh = await self._tools.api.get(row.resource, meta["name"], meta.get("namespace"))
            if fresh["metadata"]["uid"] == meta["uid"] and has_finalizer(fresh):
                await remove_finalizers(self._tools.api, row.resource, fresh)
