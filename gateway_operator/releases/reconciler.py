"""One pass over one custom resource: from what it says to a release, and back to its status.

A pass over an object at rest asks the API server nothing and runs no helm: everything it compares is in memory.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

from gateway_operator.errors import ApiError, Conflict, NotFound, Unavailable
from gateway_operator.names import release_name
from gateway_operator.releases import names
from gateway_operator.releases.claims import Claims
from gateway_operator.releases.deletion import Deletion
from gateway_operator.releases.finalizer import add_finalizer, has_finalizer
from gateway_operator.releases.helm_errors import HelmError
from gateway_operator.releases.kinds import LiveObjects, ReleasePlan
from gateway_operator.releases.objects import ObjectId
from gateway_operator.releases.queue import Key
from gateway_operator.releases.records import RecordError, ReleaseKey
from gateway_operator.releases.repair import Repairs
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.runs import Runs
from gateway_operator.releases.status import Fault, Outcome, build_status, differs
from gateway_operator.releases.tools import Tools
from gateway_operator.releases.values import build_values, input_digest
from gateway_operator.telemetry import get_logger

_NOT_SYNCED = 0.5
_log = get_logger(__name__)


class Reconciler:
    """The handler of the work queue."""

    def __init__(self, tools: Tools, claims: Claims) -> None:
        self._tools = tools
        self._claims = claims
        self._runs = Runs(tools)
        self._deletion = Deletion(tools, claims)
        self._repairs = Repairs(tools)

    def suspect(self, key: Key, found: ObjectId) -> None:
        """Note an object to compare in the next pass."""
        self._repairs.suspect(key, found)

    async def __call__(self, key: Key, reasons: tuple[str, ...]) -> float | None:
        """Run one pass; returns the delay to the next, if one is needed."""
        row = self._tools.rows[key.row]
        if not row.synced.is_set():
            return _NOT_SYNCED
        obj = row.store.get((key.namespace, key.name))
        if obj is None:
            self._gone(key)
            return None
        _log.debug("pass", object=str(key), trigger=", ".join(reasons))
        outcome = Outcome(uid=obj["metadata"].get("uid", ""), generation=int(obj["metadata"].get("generation", 1)))
        if obj["metadata"].get("deletionTimestamp"):
            return await self._delete(key, row, obj, outcome)
        try:
            delay = await self._bring(key, row, obj, outcome)
        except (Conflict, Unavailable):
            raise
        except (ApiError, RecordError) as error:
            outcome.irreconcilable = Fault("ReconcileError", str(error))
            with contextlib.suppress(ApiError):
                await self._write(row, key, outcome)
            raise
        await self._write(row, key, outcome)
        return delay

    def _gone(self, key: Key) -> None:
        release = self._claims.drop(key)
        if release and self._tools.index.newest(release) is None:
            self._tools.manifests.forget(release)
        self._runs.forget(key)
        self._repairs.forget(key)

    async def _delete(self, key: Key, row: Row, obj: Object, outcome: Outcome) -> float | None:
        if not has_finalizer(obj):
            return None
        self._adopted(key, obj)
        try:
            delay = await self._deletion.pursue(key, row, obj, outcome)
        except HelmError:
            await self._write(row, key, outcome)
            raise
        if delay is not None:
            await self._write(row, key, outcome)
        return delay

    def _adopted(self, key: Key, obj: Object) -> None:
        """Claim the release that the status names, where Helm's record doesn't name its owner or is gone already."""
        if self._claims.held(key) is None:
            recorded = ((obj.get("status") or {}).get("deployedRelease") or {}).get("name")
            self._claims.claim(key, recorded or release_name(key.name))

    async def _bring(self, key: Key, row: Row, obj: Object, outcome: Outcome) -> float | None:
        plan = self._plan(key, row, obj, outcome)
        if plan is None:
            return None
        release = self._claims.held(key)
        if plan.refusal is None:
            release = release or self._claims.claim(key, plan.release_name)
            if not key.namespace:
                outcome.irreconcilable = Fault("NoNamespace", "a cluster-scoped object has no namespace for a release")
                return None
        elif release is None or self._tools.index.newest(release) is None:
            self._claims.drop(key)
            self._add_extra(key, row, None, outcome)
            return None
        changed, delay = False, None
        if plan.refusal is None:
            changed, delay = await self._release(key, row, obj, release, plan, outcome)
        if outcome.irreconcilable is None:
            again = await self._repairs.look(key, row, release, outcome, changed=changed)
            delay = min((d for d in (delay, again) if d is not None), default=None)
            self._add_extra(key, row, release, outcome)
        return delay

    def _plan(self, key: Key, row: Row, obj: Object, outcome: Outcome) -> ReleasePlan | None:
        held = self._claims.held(key)
        installed = held is not None and self._tools.index.newest(held) is not None
        try:
            plan = self._tools.logic(key.row).plan(
                obj, list(row.store.values()), self._tools.settings.gateway, installed=installed
            )
        except Exception as error:  # noqa: BLE001 - a kind's rule that stumbles must not stop the others
            _log.exception("no values for object", object=str(key))
            outcome.irreconcilable = Fault("ErrorGettingValues", f"{type(error).__name__}: {error}")
            return None
        outcome.refusal, outcome.notices = plan.refusal, plan.notices
        self._tell_plan(obj, plan)
        return plan

    def _tell_plan(self, obj: Object, plan: ReleasePlan) -> None:
        """Give Events for what the last status didn't say yet."""
        status = obj.get("status") or {}
        accepted: dict[str, Any] = next((c for c in status.get("conditions") or [] if c.get("type") == "Accepted"), {})
        refusal = plan.refusal
        if refusal and (accepted.get("reason"), accepted.get("message")) != (refusal.reason, refusal.message):
            self._tools.recorder.event(obj, type_="Warning", reason=refusal.reason, message=refusal.message)
        for notice in plan.notices:
            if notice.message not in (status.get("message") or ""):
                self._tools.recorder.event(obj, type_="Warning", reason=notice.reason, message=notice.message)

    async def _release(
        self, key: Key, row: Row, obj: Object, release: ReleaseKey, plan: ReleasePlan, outcome: Outcome
    ) -> tuple[bool, float | None]:
        merged = build_values(plan.values, row.watch.overrides)
        digest = input_digest(chart_digest=row.watch.chart.digest, values=merged.values, release_name=release[1])
        if not has_finalizer(obj) and row.resource is not None:
            row.take("MODIFIED", await add_finalizer(self._tools.api, row.resource, obj))
        changed, delay = await self._runs.bring(key, row, release, digest=digest, values=merged.values, outcome=outcome)
        newest, deployed = self._tools.index.newest(release), self._tools.index.deployed(release)
        outcome.current = bool(deployed and deployed == newest and deployed.digest == digest)
        if changed and outcome.current:
            for path in merged.overridden:
                message = f"watches.yaml sets {path}; what this object says there is not used"
                self._tools.recorder.event(obj, type_="Warning", reason="ValueOverridden", message=message)
        return changed, delay

    def _add_extra(self, key: Key, row: Row, release: ReleaseKey | None, outcome: Outcome) -> None:
        manifest = self._tools.manifests.cached(release) if release else None
        live = [self._tools.dependents.live(i) for i in manifest.ids] if manifest else []
        obj = row.store.get((key.namespace, key.name))
        if obj is None:
            return
        try:
            outcome.extra = self._tools.logic(key.row).status(obj, LiveObjects(tuple(o for o in live if o)))
        except Exception:  # noqa: BLE001 - the engine's own status is still right
            _log.exception("no status of its own for object", object=str(key))

    async def _write(self, row: Row, key: Key, outcome: Outcome) -> None:
        """Write the status if that changes anything. Raises ApiError."""
        obj = row.store.get((key.namespace, key.name))
        if obj is None or row.resource is None or obj["metadata"].get("uid", "") != outcome.uid:
            return
        keep_others = row.watch.group not in names.OWN_GROUPS
        status = build_status(obj, outcome, now=datetime.now(UTC), keep_others=keep_others)
        if not differs(obj, status):
            return
        meta = {"name": key.name, **({"namespace": key.namespace} if key.namespace else {})}
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
