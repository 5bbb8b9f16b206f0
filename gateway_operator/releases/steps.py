"""The single steps that bring a release along: one helm run each, watched while it lasts.

A run that takes long says so in the status, with the hook that it is at; a run for an object that is being deleted is
stopped, because its uninstall must not wait for a hook that may never end.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, TypeVar

from gateway_operator.crds.conditions import timestamp
from gateway_operator.errors import ApiError, NotFound
from gateway_operator.releases import names
from gateway_operator.releases.annotations import Requests
from gateway_operator.releases.claims import owner_of
from gateway_operator.releases.helm import RunOptions
from gateway_operator.releases.helm_errors import HelmCancelled
from gateway_operator.releases.hooks import unfinished_hook
from gateway_operator.releases.queue import Key
from gateway_operator.releases.records import PENDING, RecordError, ReleaseKey, secret_name
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.state import Action, Wanted
from gateway_operator.releases.tools import Tools
from gateway_operator.releases.traffic import NONE, TrafficHistory

_LOOK_EVERY = 0.5
_TOLD_AFTER, _TOLD_EVERY = 3.0, 10.0  # most runs end within a second
_SEEN_WITHIN = 5.0
_DURING = {
    Action.UPGRADE: "pending-upgrade",
    Action.ROLL_BACK: "pending-rollback",
    Action.RETURN: "pending-rollback",
    Action.UNINSTALL: "uninstalling",
}
T = TypeVar("T")
Note = Callable[[], Awaitable[None]]
Tell = Callable[[str], Awaitable[None]]  # writes what is going on into the status


@dataclass(frozen=True)
class Work:
    """What one pass wants of one release."""

    key: Key
    row: Row
    obj: Object
    release: ReleaseKey
    wanted: Wanted
    make: Callable[[], dict[str, Any]]  # gives the values
    requests: Requests
    tell: Tell
    drifted: bool = False
    forced: bool = False
    base: str = ""  # digest of the inputs without the traffic
    traffic: str = ""  # digest of the traffic

    @cached_property
    def values(self) -> dict[str, Any]:
        """The values, made when a run needs them."""
        return self.make()

    @property
    def inputs(self) -> str:
        """Name what a failure is remembered for: the digest, or the revision to go back to."""
        revision = self.wanted.revision
        return self.wanted.digest if revision is None else f"rollback-to-{revision}"


class Steps:
    """Makes helm runs. Every method raises HelmError and ApiError."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._traffic = TrafficHistory(tools)

    async def upgrade(self, work: Work) -> int:
        """Install or upgrade; returns the revision."""
        index, requests, watch = self._tools.index, work.requests, work.row.watch
        newest = index.newest(work.release)
        expected = newest.version + 1 if newest else 1
        fresh = index.deployed(work.release) is None
        labels = {**self._labels(work.key, expected), names.DIGEST_LABEL: work.wanted.digest}
        labels[names.CHART_LABEL] = watch.chart.short_digest
        labels |= self._traffic.labels(work)
        if newest and (newest.rolled_back_to or newest.intent):
            labels |= dict.fromkeys((names.ROLLED_BACK_LABEL, names.INTENT_LABEL), NONE)
        how = RunOptions(
            timeout=self.timeout(work.row),
            force=requests.upgrade_force,
            disable_hooks=requests.install_disable_hooks if fresh else requests.upgrade_disable_hooks,
            description=requests.install_description if fresh else requests.upgrade_description,
            skip_crds=watch.crd_policy == "Skip",
            history_max=await self._traffic.make_room(work),
        )
        if newest is None or newest.chart != watch.chart.short_digest:
            await self._tools.crds.prepare(watch, work.values, name=work.release[1], namespace=work.release[0])
        run = partial(
            self._tools.helm.upgrade,
            name=work.release[1],
            namespace=work.release[0],
            chart=watch.chart.path,
            values=work.values,
            labels=labels,
            how=how,
        )
        revision = await self._attended(work, run, "Deploying", expected, "pending-install" if fresh else None)
        if revision != expected:
            await self._relabel(work.release, revision, self._labels(work.key, revision))
        await self.seen(work.release, revision)
        return revision

    async def roll_back(self, work: Work, target: int) -> int:
        """Make a new revision that is a copy of `target`, and label it as ours; returns its number."""
        index = self._tools.index
        newest, copied = index.newest(work.release), index.find(work.release, target)
        assert newest is not None  # noqa: S101 - there is something to roll back
        revision = newest.version + 1
        intent = {names.INTENT_LABEL: f"{revision}.{target}"}
        await self._relabel(work.release, newest.version, intent)  # so that the next leader knows whose revision it is
        how = RunOptions(
            timeout=self.timeout(work.row),
            force=work.requests.rollback_force,
            disable_hooks=work.requests.upgrade_disable_hooks,
            history_max=self._traffic.history_max(work.release),
        )
        run = partial(
            self._tools.helm.rollback, name=work.release[1], namespace=work.release[0], revision=target, how=how
        )
        await self._attended(work, run, "Rolling back", revision, "pending-rollback")
        labels: dict[str, str | None] = {
            **self._labels(work.key, revision),
            names.ROLLED_BACK_LABEL: str(target),
            names.DIGEST_LABEL: copied.digest if copied and copied.digest else None,
            names.BASE_LABEL: copied.base if copied and copied.base else None,
            names.TRAFFIC_LABEL: copied.traffic if copied and copied.traffic else None,
            names.CAUSE_LABEL: None,
        }
        await self._relabel(work.release, revision, labels)
        await index.wait_until(work.release, lambda r: r is not None and r.revision == str(revision), _SEEN_WITHIN)
        await self.seen(work.release, revision)
        return revision

    async def uninstall(
        self, row: Row, release: ReleaseKey, requests: Requests, *, tell: Tell, keep_history: bool = False
    ) -> bool:
        """Uninstall; returns False when there was no release."""
        newest = self._tools.index.newest(release)
        how = RunOptions(
            timeout=self.timeout(row),
            disable_hooks=requests.uninstall_disable_hooks,
            description=requests.uninstall_description,
        )
        async with row.helm_slots:
            run = partial(
                self._tools.helm.uninstall, name=release[1], namespace=release[0], how=how, keep_history=keep_history
            )
            notes = self._notes(tell, "Uninstalling", release, newest.version if newest else 0, "uninstalling")
            done = await attended(run(), notes, lambda: False)
        self._tools.manifests.forget(release)
        await self._tools.index.wait_until(
            release, lambda r: r is None or r.status == "uninstalled" or not done, _SEEN_WITHIN
        )
        return done

    def timeout(self, row: Row) -> float:
        """Return the seconds that a helm run of this row may take."""
        return row.watch.timeout or self._tools.settings.helm_timeout

    def _labels(self, key: Key, revision: int) -> dict[str, str]:
        return {
            names.HOLDER_LABEL: names.label_value(self._tools.settings.identity),
            names.OWNER_LABEL: owner_of(key),
            names.REVISION_LABEL: str(revision),
        }

    async def _relabel(self, release: ReleaseKey, revision: int, labels: Mapping[str, str | None]) -> None:
        secrets = await self._tools.api.resource("v1", "Secret")
        name = secret_name(release, revision)
        with contextlib.suppress(NotFound):
            await self._tools.api.merge_patch(secrets, name, {"metadata": {"labels": dict(labels)}}, release[0])

    async def seen(self, release: ReleaseKey, revision: int) -> bool:
        """Wait until the watch of Helm's records shows the result of a run."""
        return await self._tools.index.wait_until(
            release,
            lambda r: r is not None and r.version >= revision and r.status not in PENDING and r.status != "unknown",
            _SEEN_WITHIN,
        )

    async def left_behind(self, release: ReleaseKey, before: int, action: Action) -> tuple[bool, str | None]:
        """Say whether a failed run wrote a revision after `before`, and at which hook it failed."""
        revision = before if action is Action.UNINSTALL else before + 1
        try:
            payload = await self._tools.manifests.payload(release, revision)
        except NotFound:
            return False, None
        except RecordError:
            return True, None
        status = (payload.get("info") or {}).get("status")
        await self._tools.index.wait_until(
            release,
            lambda r: r is not None and (r.version > revision or (r.version == revision and r.status == status)),
            _SEEN_WITHIN,
        )
        return revision > before, unfinished_hook(payload, _DURING.get(action, "pending-install" if not before else ""))

    async def _attended(
        self, work: Work, run: Callable[[], Coroutine[Any, Any, T]], verb: str, revision: int, during: str | None
    ) -> T:
        notes = self._notes(work.tell, verb, work.release, revision, during or "pending-upgrade")
        async with work.row.helm_slots:
            return await attended(run(), notes, lambda: _leaves(work))

    def _notes(
        self, tell: Tell, verb: str, release: ReleaseKey, revision: int, during: str
    ) -> Callable[[], Awaitable[None]]:
        since = timestamp(datetime.now(UTC))

        async def note() -> None:
            hook: str | None = None
            with contextlib.suppress(ApiError, RecordError):
                hook = unfinished_hook(await self._tools.manifests.payload(release, revision), during)
            await tell(f"{verb} since {since}" + (f": {hook}" if hook else ""))

        return note


def _leaves(work: Work) -> bool:
    """Tell whether the object is being deleted."""
    obj = work.row.store.get((work.key.namespace, work.key.name))
    return obj is not None and bool(obj["metadata"].get("deletionTimestamp"))


async def attended(run: Coroutine[Any, Any, T], note: Note, stop: Callable[[], bool]) -> T:
    """Await a helm run; call `note` when it takes long, and end it when `stop` says so. Raises HelmCancelled then."""
    task = asyncio.ensure_future(run)
    due = time.monotonic() + _TOLD_AFTER
    try:
        while True:
            await asyncio.wait({task}, timeout=_LOOK_EVERY)
            if task.done():
                return task.result()
            if stop():
                raise HelmCancelled("stopped, because the object is being deleted")
            if time.monotonic() >= due:
                due = time.monotonic() + _TOLD_EVERY
                await note()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
