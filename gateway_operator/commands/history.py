"""`gateway-operator history`: the revisions of an object's release, and whose they are."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway_operator.commands.output import say, say_json, table
from gateway_operator.commands.session import Session
from gateway_operator.commands.targets import NoSuchObject, Target, find, kinds, records, release_of_target
from gateway_operator.errors import NotFound
from gateway_operator.kube import Api
from gateway_operator.releases.manifests import Manifests
from gateway_operator.releases.records import RecordError, ReleaseRecord, made_here

_DIGEST = 12
_HEADS = ("REVISION", "STATUS", "CHART", "DIGEST", "UPDATED", "BY", "CAUSE", "DESCRIPTION")


@dataclass(frozen=True)
class Revision:
    """One revision, as told to people; `holder` is the replica that ran Helm, empty for somebody else's.

    `cause` is `traffic` where policies alone made the difference, else empty.
    """

    revision: int
    status: str
    chart: str
    digest: str
    updated: str
    holder: str
    cause: str
    description: str


async def run(session: Session, kind: str, name: str, watches_file: Path | None) -> int:
    """Print the history; returns the exit code."""
    async with session.connected() as api:
        target = await find(api, kinds(watches_file), kind, name, session.where())
        release, found = await revisions(api, target)
    if not found:
        raise NoSuchObject(f"{target} has no release {release} yet")
    if session.json:
        say_json({"object": str(target), "release": release, "revisions": [asdict(r) for r in found]})
        return 0
    say(f"{target}, release {release}")
    say(table(_HEADS, [_row(r) for r in found]))
    return 0


async def revisions(api: Api, target: Target) -> tuple[str, list[Revision]]:
    """Return the release of an object and what Helm has recorded of it, oldest first. Raises ApiError."""
    known = await records(api, target.namespace)
    release = release_of_target(target, known)
    manifests = Manifests(api)
    mine = [record for record in known if record.name == release]
    before: list[ReleaseRecord | None] = [None, *mine]
    pairs = zip(mine, before, strict=False)
    return release, list(await asyncio.gather(*(_revision(manifests, *pair) for pair in pairs)))


async def _revision(manifests: Manifests, record: ReleaseRecord, before: ReleaseRecord | None) -> Revision:
    try:
        payload = await manifests.payload(record.key, record.version)
    except (NotFound, RecordError) as error:
        payload = {"info": {"description": str(error)}}
    info = payload.get("info") or {}
    meta = (payload.get("chart") or {}).get("metadata") or {}
    return Revision(
        revision=record.version,
        status=record.status,
        chart=f"{meta['name']}-{meta.get('version', '')}" if meta.get("name") else "",
        digest=record.digest,
        updated=_second(info.get("last_deployed")),
        holder=record.holder if made_here(record, before) else "",
        cause=record.cause if made_here(record, before) else "",
        description=str(info.get("description") or ""),
    )


def _second(stamp: Any) -> str:
    """Cut a time to the second."""
    text = str(stamp or "")
    date, dot, rest = text.partition(".")
    zone = "Z" if rest.endswith("Z") else rest[rest.find("+") :] if "+" in rest else ""
    return f"{date}{zone}" if dot else text


def _row(one: Revision) -> tuple[object, ...]:
    return (
        one.revision,
        one.status,
        one.chart,
        one.digest[:_DIGEST],
        one.updated,
        one.holder or "somebody's helm",
        one.cause,
        one.description,
    )
