"""Repairs what interrupted helm runs and people left in Helm's records, so that Helm can go on from there."""

from __future__ import annotations

import contextlib
from typing import Any

from gateway_operator.errors import Conflict, Invalid, NotFound
from gateway_operator.releases import names
from gateway_operator.releases.claims import owner_of
from gateway_operator.releases.diff import pointers
from gateway_operator.releases.objects import Manifest, ObjectId
from gateway_operator.releases.queue import Key
from gateway_operator.releases.records import RecordError, ReleaseKey, ReleaseRecord, as_failed
from gateway_operator.releases.tools import Tools
from gateway_operator.telemetry import get_logger

_SEEN_WITHIN = 5.0
_log = get_logger(__name__)


class Recovery:
    """Works on records, never on objects."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._equal: dict[ReleaseKey, tuple[int, int]] = {}  # newest and deployed revision, compared and found equal

    async def unlock(self, record: ReleaseRecord) -> None:
        """Mark a revision failed whose helm died, or remove a record that can't be read. Raises ApiError."""
        api = self._tools.api
        secrets = await api.resource("v1", "Secret")
        secret = await api.get(secrets, record.secret, record.namespace)
        why = f"interrupted: its operator ({record.holder or 'unknown'}) died in {record.status}"
        try:
            failed = as_failed(secret, why)
        except RecordError:
            await self.discard(record)
            return
        await api.replace(secrets, failed, record.namespace)
        await self._tools.index.wait_until(record.key, lambda r: r is None or r.status != record.status, _SEEN_WITHIN)
        _log.warning("interrupted release unlocked", release=record.name, namespace=record.namespace, was=record.status)

    async def discard(self, record: ReleaseRecord) -> None:
        """Delete one record. Raises ApiError."""
        secrets = await self._tools.api.resource("v1", "Secret")
        with contextlib.suppress(NotFound):
            await self._tools.api.delete(secrets, record.secret, record.namespace)
        self._tools.manifests.forget(record.key)
        gone = record.version
        await self._tools.index.wait_until(
            record.key, lambda _: self._tools.index.find(record.key, gone) is None, _SEEN_WITHIN
        )
        _log.warning("release record deleted", record=record.secret, namespace=record.namespace, status=record.status)

    async def discard_unreadable(self, key: Key, release: ReleaseKey) -> str | None:
        """Delete the record that repairs would need and can't read, if it is ours; returns its name.

        An upgrade then starts from the revision before, or an install adopts the objects. Raises ApiError.
        """
        record = self._tools.index.deployed(release)
        if record is None or record.owner != owner_of(key):
            return None
        await self.discard(record)
        return record.secret

    async def discard_if_unreadable(self, record: ReleaseRecord) -> bool:
        """Delete a record that helm passes over because it can't read it; False when it is fine. Raises ApiError."""
        try:
            await self._tools.manifests.payload(record.key, record.version)
        except NotFound:
            return False
        except RecordError:
            await self.discard(record)
            return True
        return False

    async def purge(self, release: ReleaseKey) -> None:
        """Delete all records of a release that is uninstalled. Raises ApiError."""
        for record in self._tools.index.all(release):
            await self.discard(record)

    async def is_live(self, newest: ReleaseRecord, deployed: ReleaseRecord) -> bool:
        """Tell whether the cluster has what `deployed` says, and nothing more of the failed `newest`.

        Asks for each object once; an answer of yes is remembered. Raises ApiError, RecordError.
        """
        if self._equal.get(newest.key) == (newest.version, deployed.version):
            return True
        failed = await self._tools.manifests.get(newest)
        good = await self._tools.manifests.get(deployed)
        if good is None or failed is None or not await self._matches(good, failed):
            return False
        self._equal[newest.key] = (newest.version, deployed.version)
        return True

    async def _matches(self, good: Manifest, failed: Manifest) -> bool:
        wanted = dict(zip(good.ids, good.objects(), strict=True))
        for found in {*good.ids, *failed.ids}:
            if not await self._is_as(found, wanted.get(found)):
                return False
        return True

    async def _is_as(self, found: ObjectId, wanted: dict[str, Any] | None) -> bool:
        """Ask the API server what an apply would change; `wanted` None means that the object must not be there."""
        api = self._tools.api
        resource = await api.resource(found.api_version, found.kind)
        live = await api.find(resource, found.name, found.namespace or None)
        if live is None or wanted is None:
            return live is wanted
        try:
            after = await api.apply(resource, wanted, field_manager=names.HELM_MANAGER, force=True, dry_run=True)
        except (Conflict, Invalid):
            return False
        return not pointers(live, after)

    def forget(self, release: ReleaseKey) -> None:
        """Drop what is known of a release that is gone."""
        self._equal.pop(release, None)
