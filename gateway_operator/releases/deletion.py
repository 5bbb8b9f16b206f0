"""What happens when a custom resource is deleted: its release goes first, then the resource itself.

Custom resources that the release made are waited for as well: they have releases of their own, and their resource
must not vanish before what it asked for is gone. With the annotation `uninstall-wait` every object is.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from gateway_operator.crds.conditions import condition_of
from gateway_operator.errors import Conflict, NotFound
from gateway_operator.releases import names
from gateway_operator.releases.annotations import Requests
from gateway_operator.releases.attempts import Attempt, failed_again
from gateway_operator.releases.claims import Claims, owner_of
from gateway_operator.releases.finalizer import has_finalizer, remove_finalizers
from gateway_operator.releases.helm_errors import HelmError
from gateway_operator.releases.leftovers import Leftovers
from gateway_operator.releases.objects import release_of
from gateway_operator.releases.queue import Key
from gateway_operator.releases.records import RecordError, ReleaseKey, ReleaseRecord
from gateway_operator.releases.recovery import Recovery
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.status import Fault, Outcome
from gateway_operator.releases.steps import Steps, Tell
from gateway_operator.releases.tools import Tools
from gateway_operator.telemetry import get_logger

_POLL = 2.0  # beside the watch, which usually tells at once
_SHOWN = 5
WAITING = "Waiting until all resources are deleted"
_log = get_logger(__name__)


class Deletion:
    """Takes a release away and lets its resource go."""

    def __init__(self, tools: Tools, claims: Claims, steps: Steps, recovery: Recovery) -> None:
        self._tools = tools
        self._claims = claims
        self._steps = steps
        self._recovery = recovery
        self._leftovers = Leftovers(tools)
        self._failed: dict[Key, Attempt] = {}  # whose uninstall failed, in this process

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone."""
        self._failed.pop(key, None)

    async def pursue(
        self, key: Key, row: Row, obj: Object, outcome: Outcome, requests: Requests, tell: Tell
    ) -> float | None:
        """Do the next step. Returns when to look again, None when the resource was let go.

        Raises ApiError, and HelmError with `outcome.failure` set.
        """
        release = self._claims.held(key)
        if release and self._tools.index.newest(release) and (delay := self._must_wait(key, requests, outcome)):
            return delay
        released = requests.force_release and self._is_stuck(key, obj)
        if release and not released:
            released = not await self._uninstall(key, row, obj, release, outcome, requests, tell)
        blockers = await self._blockers(release, requests) if release else []
        if blockers and not (released or requests.force_release):
            outcome.leaving = f"{WAITING}: {listed(blockers)}"
            return _POLL
        if release and not released:
            await self._purge(key, obj, release)
        if blockers or released:
            self._warn(obj, release, blockers)
        await self._let_go(row, obj)
        return None

    def _must_wait(self, key: Key, requests: Requests, outcome: Outcome) -> float | None:
        """Return the seconds to the next try: helm's own note of a failure on its record is no reason for one."""
        last = self._failed.get(key)
        if last is None or last.digest != _inputs(requests):
            return None
        left = last.retry_at - time.time()
        if left <= 0:
            return None
        outcome.failure = last.fault
        return left

    async def _uninstall(
        self,
        key: Key,
        row: Row,
        obj: Object,
        release: ReleaseKey,
        outcome: Outcome,
        requests: Requests,
        tell: Tell,
    ) -> bool:
        """Uninstall what is installed; False when that failed and nobody wants to wait for it. Raises HelmError."""
        newest = self._tools.index.newest(release)
        if newest is None:
            await self._leftovers.sweep(release)
            return True
        if newest.status == "uninstalled" or not self._is_ours(key, obj, newest):
            return True
        try:
            done = await self._steps.uninstall(row, release, requests, tell=tell, keep_history=requests.uninstall_wait)
        except HelmError as error:
            outcome.failure = Fault("UninstallError", f"{error.word}: {error}")
            if key not in self._failed:
                self._tell(obj, "Warning", "UninstallFailed", outcome.failure.message)
            self._failed[key] = failed_again(
                self._failed.get(key), _inputs(requests), outcome.failure, lasting=False, forced=False, now=time.time()
            )
            if requests.force_release and not error.passing:
                return False
            raise
        finally:
            outcome.progress = ""
        if not done:  # helm can't read its record
            await self._leftovers.sweep(release)
        self._failed.pop(key, None)
        self._tell(obj, "Normal", "Uninstalled", f"release {release[1]}")
        _log.info("release uninstalled", object=str(key), release=release[1])
        return True

    def _is_ours(self, key: Key, obj: Object, newest: ReleaseRecord) -> bool:
        """Tell our release from somebody's of this name, which we never touched."""
        if newest.owner:
            return newest.owner == owner_of(key)
        return bool((obj.get("status") or {}).get("deployedRelease"))

    def _is_stuck(self, key: Key, obj: Object) -> bool:
        """Tell whether an uninstall has failed before, here or in an earlier process."""
        return key in self._failed or condition_of(obj, "ReleaseFailed").get("reason") == "UninstallError"

    async def _blockers(self, release: ReleaseKey, requests: Requests) -> list[str]:
        """Describe what has to be gone first, with what holds it."""
        found = await self._children(release)
        newest = self._tools.index.newest(release)
        if requests.uninstall_wait and newest and newest.status == "uninstalled":
            with contextlib.suppress(RecordError):
                found += [text for text in await self._leftovers.of(newest) if text not in found]
        return found

    async def _purge(self, key: Key, obj: Object, release: ReleaseKey) -> None:
        """Delete records that an uninstall kept, or that helm could not read."""
        newest = self._tools.index.newest(release)
        if newest and self._is_ours(key, obj, newest):
            await self._recovery.purge(release)

    async def _children(self, release: ReleaseKey) -> list[str]:
        """Describe custom resources of watched kinds that the release made and that are still there."""
        found = []
        for row in list(self._tools.rows.values()):
            if row.resource is None:
                continue
            try:
                listing = await self._tools.api.list(
                    row.resource, label_selector=names.MANAGED_BY_HELM, metadata_only=True, **self._scope(release, row)
                )
            except NotFound:  # the CRD went
                continue
            found += [self._leftovers.describe(row.watch.kind, i) for i in listing.items if release_of(i) == release]
        return sorted(found)

    def _scope(self, release: ReleaseKey, row: Row) -> dict[str, Any]:
        """Look in the release's namespace first; charts that write elsewhere are rare, and rights may end there."""
        everywhere = not self._tools.settings.watch_namespaces
        namespaced = row.resource is not None and row.resource.namespaced
        return {} if everywhere or not namespaced else {"namespace": release[0]}

    def _warn(self, obj: Object, release: ReleaseKey | None, blockers: list[str]) -> None:
        """Say what may be left behind by a forced release."""
        if release is None:
            return
        left = blockers or [str(i) for i in self._tools.dependents.made_by(release)]
        rest = f"; what may be left: {listed(left)}" if left else "; see `helm status`"
        text = f"release {release[1]} was given up, as the annotation {names.GROUP}/force-release asks{rest}"
        self._tell(obj, "Warning", "ReleaseGivenUp", text)
        _log.warning("release given up", object=obj["metadata"]["name"], release=release[1], left=left)

    def _tell(self, obj: Object, type_: str, reason: str, message: str) -> None:
        self._tools.recorder.event(obj, type_=type_, reason=reason, message=message)

    async def _let_go(self, row: Row, obj: Object) -> None:
        assert row.resource is not None  # noqa: S101 - an object came by it
        with contextlib.suppress(NotFound):
            try:
                await remove_finalizers(self._tools.api, row.resource, obj)
            except Conflict:
                meta = obj["metadata"]
                fresh = await self._tools.api.get(row.resource, meta["name"], meta.get("namespace"))
                if fresh["metadata"]["uid"] == meta["uid"] and has_finalizer(fresh):
                    await remove_finalizers(self._tools.api, row.resource, fresh)


def _inputs(requests: Requests) -> str:
    """Name what a failure is remembered for: other annotations are worth another try at once."""
    return repr(requests)


def listed(items: list[str]) -> str:
    """Join the first few."""
    rest = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
