"""Finds what an uninstall has not removed yet, says what holds it, and deletes it once more."""

from __future__ import annotations

import contextlib
from typing import Any

from gateway_operator.errors import KindNotServed, NotFound
from gateway_operator.releases.objects import GroupVersionKind, ObjectId, is_kept, object_id, release_of
from gateway_operator.releases.records import ReleaseKey, ReleaseRecord
from gateway_operator.releases.tools import Tools
from gateway_operator.telemetry import get_logger

_log = get_logger(__name__)


class Leftovers:
    """Looks at single objects; asks the API server for each."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def of(self, record: ReleaseRecord) -> list[str]:
        """Describe the objects of an uninstalled revision that are still there, and delete them again.

        Objects that are to be kept don't count, and neither do new ones that others have made. Raises ApiError,
        RecordError.
        """
        manifest = await self._tools.manifests.get(record)
        if manifest is None:
            return []
        await self._tools.dependents.ensure({GroupVersionKind(i.api_version, i.kind) for i in manifest.ids})
        found = []
        for wanted in manifest.objects():
            if is_kept(wanted):
                continue
            one = object_id(wanted)
            if live := await self._delete(one, record.key):
                found.append(self.describe(one.kind, live))
        return found

    async def _delete(self, found: ObjectId, release: ReleaseKey) -> dict[str, Any] | None:
        """Return the object if it is still there and the release's; ask for its deletion where nobody has."""
        try:
            resource = await self._tools.api.resource(found.api_version, found.kind)
            live = await self._tools.api.get(resource, found.name, found.namespace or None)
            if is_kept(live) or _foreign(live, release):
                return None
            if not live["metadata"].get("deletionTimestamp"):
                await self._tools.api.delete(
                    resource, found.name, found.namespace or None, uid=live["metadata"].get("uid")
                )
        except (NotFound, KindNotServed):
            return None
        return live

    async def sweep(self, release: ReleaseKey) -> None:
        """Delete what is left where Helm's record is gone, as in a namespace that is being deleted. Raises ApiError."""
        for found in self._tools.dependents.made_by(release):
            resource = await self._tools.api.resource(found.api_version, found.kind)
            with contextlib.suppress(NotFound):
                await self._tools.api.delete(resource, found.name, found.namespace or None)
            _log.info("object without release record deleted", object=str(found), release=release[1])

    def describe(self, kind: str, live: dict[str, Any]) -> str:
        """Return `Kind namespace/name (finalizers: a, b)`."""
        meta = live["metadata"]
        name = f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta["name"]
        held = meta.get("finalizers") or []
        return f"{kind} {name}" + (f" (finalizers: {', '.join(held)})" if held else "")


def _foreign(live: dict[str, Any], release: ReleaseKey) -> bool:
    owner = release_of(live)
    return owner is not None and owner != release
