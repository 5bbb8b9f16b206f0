"""`gateway-operator rollback`: asks the engine to go back to a revision and tells how it goes.

The engine does it, not this command: two helms at one release is what the operator exists to prevent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from gateway_operator.commands.history import Revision, revisions
from gateway_operator.commands.output import progress, say, say_json
from gateway_operator.commands.session import Session
from gateway_operator.commands.targets import NoSuchObject, Target, find, kinds, records, release_of_target
from gateway_operator.crds.conditions import condition_of, is_true
from gateway_operator.errors import GatewayOperatorError
from gateway_operator.kube import Api
from gateway_operator.releases.annotations import OURS
from gateway_operator.releases.records import PENDING

ANNOTATION = f"{OURS}rollback-to"
_POLL = 0.5


class RollbackFailed(GatewayOperatorError):
    """The engine could not go back, or said nothing in time."""


async def run(
    session: Session,
    kind: str,
    name: str,
    revision: int | None,
    watches_file: Path | None,
    *,
    resume: bool,
    wait: bool,
    timeout: float,  # noqa: ASYNC109 - the user's word, enforced here
) -> int:
    """Ask for a rollback, or end one; returns the exit code."""
    async with session.connected() as api:
        target = await find(api, kinds(watches_file), kind, name, session.where())
        if resume:
            return await _resume(api, session, target)
        if revision is None:
            raise NoSuchObject("which revision? `gateway-operator history` lists them")
        release, known = await revisions(api, target)
        _check(revision, release, known)
        await _annotate(api, target, str(revision))
        if wait:
            await _follow(api, target, revision, timeout)
    done = "is at" if wait else "was asked to go to"
    text = f"{target} {done} revision {revision} and stays there: `gateway-operator rollback ... --resume` ends that"
    if session.json:
        say_json({"object": str(target), "release": release, "revision": revision, "done": wait})
    else:
        say(text)
    return 0


async def _resume(api: Api, session: Session, target: Target) -> int:
    was = (target.obj["metadata"].get("annotations") or {}).get(ANNOTATION)
    await _annotate(api, target, None)
    text = f"{target} follows its spec again" if was else f"{target} was not held at a revision"
    if session.json:
        say_json({"object": str(target), "resumed": bool(was)})
    else:
        say(text)
    return 0


def _check(revision: int, release: str, known: Sequence[Revision]) -> None:
    if not any(one.revision == revision and one.status in {"deployed", "superseded"} for one in known):
        there = ", ".join(str(one.revision) for one in known if one.status in {"deployed", "superseded"}) or "none"
        raise NoSuchObject(f"release {release} has no revision {revision} that ran; there are {there}")


async def _annotate(api: Api, target: Target, value: str | None) -> None:
    patch = {"metadata": {"annotations": {ANNOTATION: value}}}
    await api.merge_patch(target.resource, target.name, patch, target.namespace or None)


async def _follow(api: Api, target: Target, revision: int, seconds: float) -> None:
    """Wait until the release runs that revision. Raises RollbackFailed."""
    end = time.monotonic() + seconds
    told = ""
    first = condition_of(target.obj, "ReleaseFailed")
    while True:
        obj = await api.get(target.resource, target.name, target.namespace or None)
        failed = condition_of(obj, "ReleaseFailed")
        if failed.get("status") == "True" and failed != first:
            raise RollbackFailed(f"{target}: {failed.get('reason')}: {failed.get('message')}")
        text = str((obj.get("status") or {}).get("message") or "")
        if text and text != told:
            progress(text)
            told = text
        held = is_true(obj, "Held")
        if held and await _arrived(api, target, revision):
            return
        if time.monotonic() > end:
            raise RollbackFailed(
                f"{target} is not at revision {revision} after {seconds:g} s; the operator goes on (is it running? "
                "`gateway-operator doctor` tells)"
            )
        await asyncio.sleep(_POLL)


async def _arrived(api: Api, target: Target, revision: int) -> bool:
    """Tell whether what is deployed is that revision, or a copy of it made by a rollback."""
    known = await records(api, target.namespace)
    mine = [r for r in known if r.name == release_of_target(target, known)]
    if not mine or mine[-1].status in PENDING:
        return False
    newest = mine[-1]
    return newest.status == "deployed" and (newest.version == revision or newest.rolled_back_to == str(revision))
