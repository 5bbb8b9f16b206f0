"""Brings a release to what is wanted: name the state, do what the table says, look again, until nothing is left to do.

Errors of helm end in the outcome and in `Attempts`; what is raised is trouble with the API server.
"""

from __future__ import annotations

import time
from dataclasses import replace

from gateway_operator.errors import NotFound, Unavailable
from gateway_operator.releases.attempts import Attempt, Attempts, failed_again, is_lasting
from gateway_operator.releases.handover import prepare
from gateway_operator.releases.helm_errors import HelmError, NoDeployedRelease
from gateway_operator.releases.parents import Parents
from gateway_operator.releases.queue import Key
from gateway_operator.releases.records import RecordError, ReleaseKey, ReleaseRecord, chart_name
from gateway_operator.releases.recovery import Recovery
from gateway_operator.releases.sizes import check_size
from gateway_operator.releases.state import UNINSTALL_GRACE, Action, Circumstances, Facts, State, decide, observe, taken
from gateway_operator.releases.status import Fault, Outcome
from gateway_operator.releases.steps import Steps, Work
from gateway_operator.releases.tools import Tools
from gateway_operator.telemetry import get_logger

_STEPS = 6  # unlock, upgrade, return, and what people do meanwhile
_AGAIN = 1.0
_PENDING_MARGIN = 60.0  # beyond helm's timeout, for somebody's own helm
_PARENT_POLL = 0.5
_RESTS = frozenset({Action.NOTHING, Action.REPAIR, Action.WAIT, Action.BACK_OFF, Action.REFUSE})
_log = get_logger(__name__)


class Runs:
    """Decides on helm runs and makes them."""

    def __init__(self, tools: Tools, parents: Parents, steps: Steps, recovery: Recovery) -> None:
        self._tools = tools
        self._parents = parents
        self._steps = steps
        self._recovery = recovery
        self._attempts = Attempts()

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone."""
        self._attempts.forget(key)

    def reset(self, key: Key) -> None:
        """Try at once again what failed."""
        self._attempts.clear(key)

    async def bring(self, work: Work, outcome: Outcome) -> tuple[bool, float | None]:
        """Do what the release's state asks for. Returns whether helm changed it, and when to look again.

        Raises ApiError.
        """
        changed, forced = False, work.forced
        for _ in range(_STEPS):
            newest = self._tools.index.newest(work.release)
            state, age = await self._observe(work, newest)
            action = decide(state, work.wanted, self._circumstances(work, newest, forced=forced))
            if action in _RESTS or self._obstacle(work, action, outcome):
                return changed, self._rest(work, action, newest, age, outcome)
            if action is Action.UNLOCK and newest:
                await self._recovery.unlock(newest)
                continue
            changed, forced = True, False
            if await self._act(work, state, action, newest, outcome):
                self._succeeded(work, outcome)
                return True, None
        return changed, _AGAIN

    def _rest(
        self, work: Work, action: Action, newest: ReleaseRecord | None, age: float, outcome: Outcome
    ) -> float | None:
        """Say why nothing is done; returns when to look again."""
        if action in {Action.NOTHING, Action.REPAIR}:
            self._succeeded(work, outcome)
        elif action is Action.REFUSE:
            outcome.irreconcilable = Fault("ReleaseNameTaken", taken(newest, work.release))
        elif action is Action.BACK_OFF:
            return self._back_off(work, outcome)
        elif action is Action.WAIT:
            outcome.progress = f"somebody else's helm is at work on release {work.release[1]}"
            grace = UNINSTALL_GRACE if newest and newest.status == "uninstalling" else self._grace(work)
            return max(_AGAIN, grace - age)
        else:
            return _PARENT_POLL if outcome.progress else None
        return None

    def _obstacle(self, work: Work, action: Action, outcome: Outcome) -> bool:
        """Note what keeps helm from being run now."""
        if action is Action.UNLOCK:
            return False
        if before := self._parents.ahead(work.key, work.obj):
            outcome.progress = f"waiting for {before}"
        elif action is Action.ROLL_BACK and (missing := self._missing_revision(work)):
            outcome.failure = missing
        else:
            return False
        return True

    def _succeeded(self, work: Work, outcome: Outcome) -> None:
        self._attempts.clear(work.key)
        outcome.current, outcome.attempt = True, None

    def _grace(self, work: Work) -> float:
        return self._steps.timeout(work.row) + _PENDING_MARGIN

    async def _observe(self, work: Work, newest: ReleaseRecord | None) -> tuple[State, float]:
        """Name the state, and the age of the newest record; records without our label are decoded for it."""
        if newest is None:
            return observe(None, work.wanted, Facts()), 0.0
        recorded: str | None = None
        if not newest.owner:
            try:
                recorded = chart_name(await self._tools.manifests.payload(newest.key, newest.version))
            except (NotFound, RecordError):
                recorded = None
        age = max(0.0, time.time() - newest.modified)
        facts = Facts(
            ours=self._tools.index.made_here(newest),
            recorded_chart=recorded,
            age=age,
            pending_grace=self._grace(work),
            reverted=await self._is_reverted(work, newest),
            drifted=work.drifted,
        )
        return observe(newest, work.wanted, facts), age

    async def _is_reverted(self, work: Work, newest: ReleaseRecord) -> bool:
        """Tell whether a failed change was taken back before it changed anything, so that no revision is needed."""
        deployed = self._tools.index.deployed(work.release)
        if newest.status != "failed" or deployed is None or work.wanted.revision is not None:
            return False
        if newest.digest == work.wanted.digest or deployed.digest != work.wanted.digest:
            return False
        return self._tools.index.made_here(deployed) and await self._recovery.is_live(newest, deployed)

    def _circumstances(self, work: Work, newest: ReleaseRecord | None, *, forced: bool) -> Circumstances:
        attempt = self._held_back(work)
        if attempt is None or forced:
            return Circumstances(forced=forced)
        index = self._tools.index
        deployed = index.deployed(work.release)
        before = index.find(work.release, newest.version - 1) if newest else None
        returned = bool(newest and before and before.intent.startswith(f"{newest.version}."))
        first = bool(newest and newest.version == 1 and newest.status == "failed" and index.made_here(newest))
        return Circumstances(
            held_back=True,
            can_return=attempt.lasting and deployed is not None and not returned and not attempt.followed_up,
            can_remove=first and not attempt.followed_up,
        )

    def _held_back(self, work: Work) -> Attempt | None:
        """Return the failure of the same inputs whose next try isn't due."""
        attempt = self._attempts.get(work.key, work.obj)
        if attempt is None or attempt.digest != work.inputs or attempt.retry_at <= time.time():
            return None
        return None if work.requests.upgrade_force and not attempt.forced else attempt

    def _back_off(self, work: Work, outcome: Outcome) -> float:
        attempt = self._attempts.get(work.key, work.obj)
        assert attempt is not None  # noqa: S101 - else nothing would be held back
        outcome.failure, outcome.attempt = attempt.fault, attempt.as_status()
        return max(0.1, attempt.retry_at - time.time())

    def _missing_revision(self, work: Work) -> Fault | None:
        known = [record.version for record in self._tools.index.all(work.release)]
        if work.wanted.revision in known:
            return None
        listed = ", ".join(map(str, known)) or "none"
        return Fault(
            "RollbackError", f"release {work.release[1]} has no revision {work.wanted.revision}; it has {listed}"
        )

    async def _act(
        self, work: Work, state: State, action: Action, newest: ReleaseRecord | None, outcome: Outcome
    ) -> bool:
        """Make one helm run; True when the release is now what is wanted."""
        verb = _verb(action, installed=self._tools.index.deployed(work.release) is not None)
        started = time.monotonic()
        try:
            revision = await self._run(work, action, newest)
        except HelmError as error:
            await self._failed(work, state, action, verb, newest, error, outcome)
            return False
        finally:
            outcome.progress = ""
        seconds = round(time.monotonic() - started, 2)
        _log.info(
            "release changed",
            object=str(work.key),
            release=work.release[1],
            action=action.value,
            state=state.value,
            revision=revision,
            s=seconds,
        )
        if action is Action.UNINSTALL:
            self._attempts.follow_up(work.key)
            return False
        self._tell(work, "Normal", _DONE[verb], f"release {work.release[1]}, revision {revision}")
        return action is not Action.RETURN

    async def _run(self, work: Work, action: Action, newest: ReleaseRecord | None) -> int:
        """Make the helm run of an action. Raises HelmError, ApiError."""
        if action is Action.UNINSTALL:
            await self._steps.uninstall(work.row, work.release, work.requests, tell=work.tell)
            return 0
        if action is Action.ROLL_BACK and work.wanted.revision is not None:
            return await self._steps.roll_back(work, work.wanted.revision)
        if action is Action.RETURN:
            deployed = self._tools.index.deployed(work.release)
            assert deployed is not None  # noqa: S101 - can_return says so
            return await self._steps.roll_back(work, deployed.version)
        check_size(work.row.watch.chart, work.values)
        if newest and not newest.owner:
            await self._prepare(work.release)
        return await self._steps.upgrade(work)

    async def _prepare(self, release: ReleaseKey) -> None:
        """Make somebody else's objects ready for our helm. Raises ApiError, RecordError."""
        record = self._tools.index.deployed(release) or self._tools.index.newest(release)
        if record and (manifest := await self._tools.manifests.get(record)):
            await prepare(self._tools.api, manifest, take_fields=self._tools.helm.applies)

    async def _failed(
        self,
        work: Work,
        state: State,
        action: Action,
        verb: str,
        newest: ReleaseRecord | None,
        error: HelmError,
        outcome: Outcome,
    ) -> None:
        """Remember a failure, and say so before anything is done about it: the next step may not live to do it."""
        if newest and isinstance(error, NoDeployedRelease) and await self._recovery.discard_if_unreadable(newest):
            self._tell(work, "Warning", "RecordUnreadable", f"helm can't read {newest.secret}: it is deleted")
            return
        wrote, hook = await self._steps.left_behind(work.release, newest.version if newest else 0, action)
        text = f"{error.word}: {f'{hook}: ' if hook else ''}{error}"
        last = self._attempts.get(work.key, work.obj)
        if last and (action is Action.RETURN or (action is Action.UNINSTALL and state is State.FAILED)):
            if error.passing:
                raise Unavailable(0, "Unreachable", str(error)) from error
            what = "rollback" if action is Action.RETURN else "removal of what it left"
            fault = Fault(last.fault.reason, f"{last.fault.message}; and the {what} failed: {text}")
            attempt = replace(last, fault=fault, followed_up=True)
        else:
            fault = Fault(f"{verb}Error", text)
            upgraded = wrote and self._tools.index.deployed(work.release) is not None
            attempt = failed_again(
                last,
                work.inputs,
                fault,
                lasting=is_lasting(error, upgraded=upgraded),
                forced=work.requests.upgrade_force,
                now=time.time(),
            )
        self._attempts.note(work.key, attempt)
        outcome.failure, outcome.attempt = fault, attempt.as_status()
        next_in = round(attempt.retry_at - time.time(), 1)
        _log.warning("helm failed", object=str(work.key), action=action.value, error=fault.message, next_in=next_in)
        if last is None or last.fault != fault:
            self._tell(work, "Warning", f"{verb}Failed", fault.message)
        await work.tell("")

    def _tell(self, work: Work, type_: str, reason: str, message: str) -> None:
        if obj := work.row.store.get((work.key.namespace, work.key.name)):
            self._tools.recorder.event(obj, type_=type_, reason=reason, message=message)


_DONE = {"Install": "Installed", "Upgrade": "Upgraded", "Rollback": "RolledBack", "Uninstall": "Uninstalled"}


def _verb(action: Action, *, installed: bool) -> str:
    if action in {Action.ROLL_BACK, Action.RETURN}:
        return "Rollback"
    if action is Action.UNINSTALL:
        return "Uninstall"
    return "Upgrade" if installed else "Install"
