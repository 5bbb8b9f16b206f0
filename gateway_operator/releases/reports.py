"""Writes what a pass found into the status of its resource: once at the end, and in between only what takes long."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

from gateway_operator.errors import ApiError, Conflict, NotFound
from gateway_operator.releases import names
from gateway_operator.releases.claims import Claims, owner_of
from gateway_operator.releases.kinds import LiveObjects, is_guest
from gateway_operator.releases.queue import Key
from gateway_operator.releases.records import ReleaseKey
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.status import Deployed, Outcome, as_guest, build_status, differs
from gateway_operator.releases.steps import Tell
from gateway_operator.releases.tools import Tools
from gateway_operator.telemetry import get_logger

_log = get_logger(__name__)
_TRIES = 4


class Reports:
    """The writer of statuses."""

    def __init__(self, tools: Tools, claims: Claims) -> None:
        self._tools = tools
        self._claims = claims
        self._dropped: dict[Key, frozenset[str]] = {}  # fields of the status that the CRD doesn't keep

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone."""
        self._dropped.pop(key, None)

    def known(self, key: Key, obj: Object, outcome: Outcome) -> None:
        """Fill in what is known without asking anybody: what is deployed, and what failed last."""
        status = obj.get("status") or {}
        outcome.attempt = status.get("lastAttempt")
        release = self._claims.held(key)
        deployed = self._tools.index.deployed(release) if release else None
        told = status.get("deployedRelease") or {}
        if release is None or deployed is None:
            return
        if deployed.owner != owner_of(key) and (deployed.owner or told.get("name") != deployed.name):
            return  # somebody's release of this name
        manifest = self._tools.manifests.cached(release)
        chart = manifest.chart if manifest and manifest.version == deployed.version else told.get("chart", "")
        outcome.deployed = Deployed(release[1], deployed.version, chart, deployed.digest)

    def add_extra(self, key: Key, row: Row, release: ReleaseKey | None, outcome: Outcome) -> None:
        """Add what the kind's own rules say of the release's objects; of a status that is somebody else's, nothing."""
        if is_guest(self._tools.logic(key.row)):
            return
        manifest = self._tools.manifests.cached(release) if release else None
        live = [self._tools.dependents.live(i) for i in manifest.ids] if manifest else []
        obj = row.store.get((key.namespace, key.name))
        if obj is None:
            return
        try:
            outcome.extra = self._tools.logic(key.row).status(obj, LiveObjects(tuple(o for o in live if o)))
        except Exception:  # noqa: BLE001 - the engine's own status is still right
            _log.exception("no status of its own for object", object=str(key))

    def teller(self, key: Key, row: Row, outcome: Outcome) -> Tell:
        """Return what writes an intermediate status: that a run takes long, or has failed."""

        async def tell(progress: str) -> None:
            outcome.progress = progress
            self.add_extra(key, row, self._claims.held(key), outcome)
            with contextlib.suppress(ApiError):
                await self.write(row, key, outcome)

        return tell

    async def write(self, row: Row, key: Key, outcome: Outcome) -> None:
        """Write the status if that changes anything. Raises ApiError.

        Where others' conditions are carried along, they are those of the moment of the write: an object that changed
        since it was read is read again.
        """
        obj = row.store.get((key.namespace, key.name))
        keep_others = row.watch.group not in names.OWN_GROUPS
        for left in reversed(range(_TRIES)):
            if obj is None or row.resource is None or obj["metadata"].get("uid", "") != outcome.uid:
                return
            status = self._status(key, obj, outcome, keep_others=keep_others)
            if status is None:
                return
            try:
                await self._apply(row, key, obj, status, unchanged=keep_others)
            except Conflict:
                if not keep_others or not left:
                    raise
                obj = await self._tools.api.find(row.resource, key.name, key.namespace or None)
            else:
                return

    def _status(self, key: Key, obj: Object, outcome: Outcome, *, keep_others: bool) -> Object | None:
        """Return the status to write; None where the object has it."""
        status = build_status(obj, outcome, now=datetime.now(UTC), keep_others=keep_others)
        if is_guest(self._tools.logic(key.row)):
            status = as_guest(status)
        dropped = self._dropped.get(key, frozenset())
        return status if differs(obj, {k: v for k, v in status.items() if k not in dropped}) else None

    async def _apply(self, row: Row, key: Key, obj: Object, status: Object, *, unchanged: bool) -> None:
        """Write a status; with `unchanged` only if the object is still as it was read. Raises ApiError."""
        assert row.resource is not None  # noqa: S101 - set before any stream
        meta = {"name": key.name, **({"namespace": key.namespace} if key.namespace else {})}
        if unchanged:
            meta["resourceVersion"] = obj["metadata"]["resourceVersion"]
        body: dict[str, Any] = {
            "apiVersion": row.watch.api_version,
            "kind": row.watch.kind,
            "metadata": meta,
            "status": status,
        }
        try:
            written = await self._tools.api.apply(
                row.resource, body, field_manager=names.STATUS_MANAGER, force=True, subresource="status"
            )
        except NotFound:  # the object is gone, or its CRD has no status
            return
        row.take("MODIFIED", written)
        self._dropped[key] = frozenset(status.keys() - (written.get("status") or {}).keys())
