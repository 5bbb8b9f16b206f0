"""One pass over one custom resource: from what it says to a release, and back to its status.

A pass over an object at rest asks the API server nothing and runs no helm: everything it compares is in memory.
"""

from __future__ import annotations

import contextlib
from functools import partial

from gateway_operator.crds.conditions import condition_of
from gateway_operator.errors import ApiError, Conflict, Unavailable
from gateway_operator.gateways.verdicts import Notice, Refusal
from gateway_operator.names import release_name
from gateway_operator.releases.annotations import Requests, requests_of
from gateway_operator.releases.claims import Claims, owner_of
from gateway_operator.releases.deletion import Deletion
from gateway_operator.releases.finalizer import add_finalizer, has_finalizer
from gateway_operator.releases.helm_errors import HelmError
from gateway_operator.releases.kinds import ReleasePlan, Traffic
from gateway_operator.releases.objects import ObjectId
from gateway_operator.releases.parents import Parents
from gateway_operator.releases.port_memory import PortMemory
from gateway_operator.releases.queue import Key, jittered
from gateway_operator.releases.records import RecordError, ReleaseKey
from gateway_operator.releases.recovery import Recovery
from gateway_operator.releases.repair import Repairs
from gateway_operator.releases.reports import Reports
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.runs import Runs
from gateway_operator.releases.state import Wanted
from gateway_operator.releases.status import Fault, Outcome
from gateway_operator.releases.steps import Steps, Work
from gateway_operator.releases.tools import Tools
from gateway_operator.releases.values import build_values, input_digest, merge
from gateway_operator.telemetry import get_logger

_AGAIN = 0.1
_HELD = (
    "held at a copy of revision {revision}, as the annotation rollback-to asks; remove the annotation to go on with "
    "what this object says"
)
_log = get_logger(__name__)


class Reconciler:
    """The handler of the work queue."""

    def __init__(self, tools: Tools, claims: Claims) -> None:
        self._tools = tools
        self._claims = claims
        self._parents = Parents(tools.rows, claims, tools.dependents)
        steps, self._recovery = Steps(tools), Recovery(tools)
        self._runs = Runs(tools, self._parents, steps, self._recovery)
        self._deletion = Deletion(tools, claims, steps, self._recovery)
        self._repairs = Repairs(tools)
        self._reports = Reports(tools, claims)
        self._port_memory = PortMemory(tools)
        self._digests: dict[Key, dict[tuple[str, str], str]] = {}  # of all inputs, by the digests of their two parts

    def suspect(self, key: Key, found: ObjectId) -> None:
        """Note an object to compare in the next pass."""
        self._repairs.suspect(key, found)

    async def __call__(self, key: Key, _reasons: tuple[str, ...]) -> float | None:
        """Run one pass; returns the delay to the next, if one is needed."""
        row = self._tools.rollouts.view(key, self._tools.rows[key.row])
        obj = row.store.get((key.namespace, key.name))
        if obj is None:
            self._gone(key)
            return None
        requests = requests_of(obj)
        outcome = Outcome(uid=obj["metadata"].get("uid", ""), generation=int(obj["metadata"].get("generation", 1)))
        outcome.paused = requests.paused
        self._reports.known(key, obj, outcome)
        if requests.paused:
            await self._rest(key, row, outcome)
            return None
        if obj["metadata"].get("deletionTimestamp"):
            return await self._delete(key, row, obj, outcome, requests)
        try:
            delay = await self._bring(key, row, obj, outcome, requests)
        except (Conflict, Unavailable):
            raise
        except (ApiError, RecordError) as error:
            self._parents.passed(key, row)
            outcome.irreconcilable = Fault("ReconcileError", str(error))
            with contextlib.suppress(ApiError):
                await self._reports.write(row, key, outcome)
            self._tools.rollouts.passed(key, row, outcome)
            raise
        self._parents.passed(key, row)
        await self._reports.write(row, key, outcome)
        self._tools.rollouts.passed(key, row, outcome)
        period = requests.period(row.watch.reconcile_period, self._tools.settings.reconcile_period)
        return min((d for d in (delay, jittered(period) if period else None) if d is not None), default=None)

    def _gone(self, key: Key) -> None:
        release = self._claims.drop(key)
        if release and self._tools.index.newest(release) is None:
            self._tools.manifests.forget(release)
            self._recovery.forget(release)
        self._runs.forget(key)
        self._parents.forget(key)
        self._deletion.forget(key)
        self._port_memory.forget(key)
        self._repairs.forget(key)
        self._reports.forget(key)
        self._digests.pop(key, None)

    async def _rest(self, key: Key, row: Row, outcome: Outcome) -> None:
        """Only say how it is."""
        self._parents.passed(key, row)
        self._reports.add_extra(key, row, self._claims.held(key), outcome)
        await self._reports.write(row, key, outcome)
        self._tools.rollouts.passed(key, row, outcome)

    async def _delete(self, key: Key, row: Row, obj: Object, outcome: Outcome, requests: Requests) -> float | None:
        if not has_finalizer(obj):
            return None
        self._adopted(key, obj)
        await self._port_memory.keep(key, obj)
        outcome.notices = requests.notices
        try:
            delay = await self._deletion.pursue(
                key, row, obj, outcome, requests, self._reports.teller(key, row, outcome)
            )
        except HelmError:
            await self._reports.write(row, key, outcome)
            raise
        if delay is not None:
            outcome.deployed = None
            await self._reports.write(row, key, outcome)
        return delay

    def _adopted(self, key: Key, obj: Object) -> None:
        """Claim the release that the status names, where Helm's record doesn't name its owner or is gone already."""
        if self._claims.held(key) is None:
            recorded = ((obj.get("status") or {}).get("deployedRelease") or {}).get("name")
            self._claims.claim(key, recorded or release_name(key.name))

    async def _bring(self, key: Key, row: Row, obj: Object, outcome: Outcome, requests: Requests) -> float | None:
        plan = self._plan(key, row, obj, outcome, requests)
        if plan is not None and plan.refusal is None:
            recalled = await self._port_memory.recall(key, row, obj, deployed=self._is_deployed(key))
            if recalled is not obj:
                obj, plan = recalled, self._plan(key, row, recalled, outcome, requests)
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
            self._reports.add_extra(key, row, None, outcome)
            return None
        self._take_tokens(key, obj, requests, outcome)
        changed, delay = False, None
        if plan.refusal is None:
            changed, delay = await self._release(key, row, obj, release, plan, outcome, requests)
        if outcome.irreconcilable is None:
            again = await self._look(key, row, release, outcome, changed=changed)
            delay = min((d for d in (delay, again) if d is not None), default=None)
            self._reports.add_extra(key, row, release, outcome)
        return delay

    async def _look(self, key: Key, row: Row, release: ReleaseKey, outcome: Outcome, *, changed: bool) -> float | None:
        try:
            return await self._repairs.look(key, row, release, outcome, changed=changed)
        except RecordError as error:
            record = await self._recovery.discard_unreadable(key, release)
            if record is None:
                raise
            if obj := row.store.get((key.namespace, key.name)):
                text = f"{error}: the record {record} is deleted, and the release made anew from what is left"
                self._tools.recorder.event(obj, type_="Warning", reason="RecordUnreadable", message=text)
            outcome.current = False
            return _AGAIN

    def _take_tokens(self, key: Key, obj: Object, requests: Requests, outcome: Outcome) -> None:
        """Handle `reset-at` and `reconcile-at`, each token once."""
        if _is_new(obj, "lastHandledResetAt", requests.reset_at):
            self._runs.reset(key)
            outcome.handled["lastHandledResetAt"] = requests.reset_at
        if _is_new(obj, "lastHandledReconcileAt", requests.reconcile_at):
            self._repairs.forget(key)  # so that everything is compared
            outcome.handled["lastHandledReconcileAt"] = requests.reconcile_at

    def _is_deployed(self, key: Key) -> bool:
        """Tell whether a release was ever deployed for an object, whatever its newest revision says."""
        release = self._claims.held(key)
        return release is not None and self._tools.index.deployed(release) is not None

    def _plan(self, key: Key, row: Row, obj: Object, outcome: Outcome, requests: Requests) -> ReleasePlan | None:
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
        outcome.refusal, outcome.notices = plan.refusal, (*plan.notices, *requests.notices)
        self._tell_plan(obj, plan.refusal, outcome.notices)
        outcome.notices += row.notices
        return plan

    def _tell_plan(self, obj: Object, refusal: Refusal | None, notices: tuple[Notice, ...]) -> None:
        """Give Events for what the last status didn't say yet."""
        accepted = condition_of(obj, "Accepted")
        if refusal and (accepted.get("reason"), accepted.get("message")) != (refusal.reason, refusal.message):
            self._tools.recorder.event(obj, type_="Warning", reason=refusal.reason, message=refusal.message)
        for notice in notices:
            if notice.message not in ((obj.get("status") or {}).get("message") or ""):
                self._tools.recorder.event(obj, type_="Warning", reason=notice.reason, message=notice.message)

    async def _release(
        self,
        key: Key,
        row: Row,
        obj: Object,
        release: ReleaseKey,
        plan: ReleasePlan,
        outcome: Outcome,
        requests: Requests,
    ) -> tuple[bool, float | None]:
        newest = self._tools.index.newest(release)
        has_traffic = plan.traffic.required or (newest is not None and bool(newest.traffic))
        uncertain = has_traffic and not plan.traffic.known
        if (row.frozen or uncertain) and requests.rollback_to is None and newest and newest.status == "deployed":
            outcome.current = True
            return False, None
        if uncertain and requests.rollback_to is None:
            outcome.progress = "waiting for the policies, which this operator hasn't read yet"
            return False, None  # whoever knows them asks for the next pass
        hidden = self._tools.settings.suppress_override_values
        merged = build_values(plan.values, row.watch.overrides, suppress=hidden)
        make = partial(_over, merged.values, plan.traffic)
        base = input_digest(chart_digest=row.watch.chart.digest, values=merged.values, release_name=release[1])
        named = (base, plan.traffic.digest)
        digest = base if not plan.traffic.digest else self._digests.get(key, {}).get(named)
        if digest is None:
            digest = input_digest(chart_digest=row.watch.chart.digest, values=make(), release_name=release[1])
            self._digests[key] = {named: digest}
        if not has_finalizer(obj) and row.resource is not None:
            row.take("MODIFIED", await add_finalizer(self._tools.api, row.resource, obj))
        if requests.rollback_to is not None:
            outcome.held = _HELD.format(revision=requests.rollback_to)
        forced = _is_new(obj, "lastHandledForceAt", requests.force_at)
        work = Work(
            key=key,
            row=row,
            obj=row.store.get((key.namespace, key.name), obj),
            release=release,
            wanted=Wanted(digest, owner_of(key), row.watch.chart.name, requests.rollback_to),
            make=make,
            requests=requests,
            tell=self._reports.teller(key, row, outcome),
            drifted=self._repairs.suspected(key),
            forced=forced,
            base=base,
            traffic=plan.traffic.digest,
        )
        changed, delay = await self._runs.bring(work, outcome)
        if forced and changed:
            outcome.handled["lastHandledForceAt"] = requests.force_at
        if changed and outcome.current and not outcome.held:
            for message in merged.remarks:
                self._tools.recorder.event(obj, type_="Warning", reason="ValueOverridden", message=message)
        return changed, delay


def _over(values: Object, traffic: Traffic) -> Object:
    """Lay the traffic's values over the others."""
    return merge(values, traffic.values) if traffic.digest else values


def _is_new(obj: Object, field: str, token: str) -> bool:
    """Tell whether a token was not handled yet."""
    return bool(token) and (obj.get("status") or {}).get(field) != token
