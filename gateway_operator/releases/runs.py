"""Brings a release to what is wanted: the state, the action for it, and how often a failing one is tried.

A run that failed for a reason that lies in its inputs is not repeated at once: the same digest is tried again after
five minutes, then ten, up to an hour. What may pass by itself (an API server that is away) is tried from one second on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway_operator.errors import NotFound
from gateway_operator.releases import names
from gateway_operator.releases.claims import owner_of
from gateway_operator.releases.helm_errors import HelmError
from gateway_operator.releases.queue import Key, backoff, jittered
from gateway_operator.releases.records import PENDING, RecordError, ReleaseKey, ReleaseRecord, as_failed, chart_name
from gateway_operator.releases.rows import Row
from gateway_operator.releases.state import ACTIONS, Action, State, Wanted, observe
from gateway_operator.releases.status import Fault, Outcome
from gateway_operator.releases.tools import Tools
from gateway_operator.telemetry import get_logger

_SLOW_FIRST, _SLOW_LIMIT = 300.0, 3600.0
_PENDING_MARGIN = 60.0  # beyond helm's timeout, for somebody's own helm
_SEEN_WITHIN = 5.0
_log = get_logger(__name__)


@dataclass(frozen=True)
class Attempt:
    """A failed run."""

    digest: str
    failures: int
    not_before: float  # monotonic
    fault: Fault


class Runs:
    """Decides on helm runs and makes them."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._attempts: dict[Key, Attempt] = {}

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone."""
        self._attempts.pop(key, None)

    async def bring(
        self, key: Key, row: Row, release: ReleaseKey, *, digest: str, values: dict[str, Any], outcome: Outcome
    ) -> tuple[bool, float | None]:
        """Do what the release's state asks for. Returns whether helm changed it, and when to look again.

        Raises ApiError.
        """
        wanted = Wanted(digest, owner_of(key), row.watch.chart.name)
        newest = self._tools.index.newest(release)
        state, age = await self._observe(newest, wanted)
        action = ACTIONS[state]
        if action is Action.NOTHING:
            self._attempts.pop(key, None)
            return False, None
        if action is Action.REFUSE:
            outcome.irreconcilable = Fault("ReleaseNameTaken", self._taken(newest, release))
            return False, None
        if action is Action.WAIT:
            outcome.progress = f"somebody else's helm is at work on release {release[1]}"
            return False, max(1.0, self._grace - age)
        if delay := self._must_wait(key, digest, outcome):
            return False, delay
        if action is Action.UNLOCK and newest:
            await self.unlock(newest)
        return await self._run(key, row, release, action, digest=digest, values=values, outcome=outcome, state=state)

    @property
    def _grace(self) -> float:
        return self._tools.settings.helm_timeout + _PENDING_MARGIN

    async def _observe(self, newest: ReleaseRecord | None, wanted: Wanted) -> tuple[State, float]:
        """Name the state and the age of the newest record; records without our label are decoded for it."""
        recorded: str | None = None
        started = newest.created if newest else 0.0
        if newest and not newest.owner:
            try:
                payload = await self._tools.manifests.payload(newest.key, newest.version)
                recorded = chart_name(payload)
                started = _epoch((payload.get("info") or {}).get("last_deployed")) or started
            except (NotFound, RecordError):
                recorded = None
        now = time.time()
        state = observe(newest, wanted, recorded_chart=recorded, now=now, started=started, pending_grace=self._grace)
        return state, now - started

    def _taken(self, newest: ReleaseRecord | None, release: ReleaseKey) -> str:
        owner = f" of {newest.owner}" if newest and newest.owner else ", of another chart"
        return (
            f"there is a Helm release {release[1]} in {release[0]} already{owner}: uninstall it, or give this object "
            "another name"
        )

    def _must_wait(self, key: Key, digest: str, outcome: Outcome) -> float | None:
        attempt = self._attempts.get(key)
        if attempt is None or attempt.digest != digest:
            return None
        left = attempt.not_before - time.monotonic()
        if left <= 0:
            return None
        outcome.failure = attempt.fault
        return left

    async def unlock(self, record: ReleaseRecord) -> None:
        """Mark a revision failed whose helm died, or remove a record that can't be read. Raises ApiError."""
        api = self._tools.api
        secrets = await api.resource("v1", "Secret")
        secret = await api.get(secrets, record.secret, record.namespace)
        try:
            failed = as_failed(
                secret, f"interrupted: its operator ({record.holder or 'unknown'}) died in {record.status}"
            )
        except RecordError:
            await api.delete(secrets, record.secret, record.namespace)
        else:
            await api.replace(secrets, failed, record.namespace)
        _log.warning("interrupted release unlocked", release=record.name, namespace=record.namespace, was=record.status)

    async def _run(
        self,
        key: Key,
        row: Row,
        release: ReleaseKey,
        action: Action,
        *,
        digest: str,
        values: dict[str, Any],
        outcome: Outcome,
        state: State,
    ) -> tuple[bool, float | None]:
        verb = "Install" if self._tools.index.deployed(release) is None else "Upgrade"
        labels = {
            names.DIGEST_LABEL: digest,
            names.HOLDER_LABEL: names.label_value(self._tools.settings.identity),
            names.OWNER_LABEL: owner_of(key),
            names.CHART_LABEL: row.watch.chart.short_digest,
        }
        started = time.monotonic()
        try:
            async with row.helm_slots:
                if action is Action.UNINSTALL:
                    await self._tools.helm.uninstall(name=release[1], namespace=release[0])
                revision = await self._tools.helm.upgrade(
                    name=release[1], namespace=release[0], chart=row.watch.chart.path, values=values, labels=labels
                )
        except HelmError as error:
            return True, self._failed(key, row, verb, digest, error, outcome)
        self._attempts.pop(key, None)
        seconds = round(time.monotonic() - started, 2)
        _log.info(
            "release deployed", object=str(key), release=release[1], revision=revision, state=state.value, s=seconds
        )
        self._tell(
            key,
            row,
            "Normal",
            "Installed" if verb == "Install" else "Upgraded",
            f"release {release[1]}, revision {revision}",
        )
        await self._tools.index.wait_until(
            release,
            lambda r: r is not None and r.version >= revision and r.status not in PENDING and r.status != "unknown",
            _SEEN_WITHIN,
        )
        return True, None

    def _failed(self, key: Key, row: Row, verb: str, digest: str, error: HelmError, outcome: Outcome) -> float:
        last = self._attempts.get(key)
        failures = last.failures + 1 if last and last.digest == digest else 1
        slow = {"first": _SLOW_FIRST, "limit": _SLOW_LIMIT} if error.lasting else {}
        delay = jittered(backoff(failures, **slow))
        fault = Fault(f"{verb}Error", f"{error.word}: {error}")
        self._attempts[key] = Attempt(digest, failures, time.monotonic() + delay, fault)
        outcome.failure = fault
        _log.warning("helm failed", object=str(key), verb=verb.lower(), error=fault.message, next_in=round(delay, 1))
        if last is None or last.fault != fault:
            self._tell(key, row, "Warning", f"{verb}Failed", fault.message)
        return delay

    def _tell(self, key: Key, row: Row, type_: str, reason: str, message: str) -> None:
        if obj := row.store.get((key.namespace, key.name)):
            self._tools.recorder.event(obj, type_=type_, reason=reason, message=message)


def _epoch(stamp: Any) -> float:
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return 0.0
