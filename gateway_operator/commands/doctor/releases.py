"""Helm's records: runs that hang or failed, releases that nobody asks for any more, and records near the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway_operator.commands.doctor.findings import Finding, info, lasted, problem, warning
from gateway_operator.commands.doctor.scope import Scope, together
from gateway_operator.commands.targets import KindRef
from gateway_operator.names import release_name
from gateway_operator.releases.names import owner_value
from gateway_operator.releases.records import PENDING, ReleaseRecord

AREA = "releases"
NEAR_LIMIT = 900 * 1024  # bytes of a record; a Secret holds 1 MiB
_TIMEOUT = 300.0
_MARGIN = 60.0


@dataclass(frozen=True)
class ReleaseFacts:
    """The newest record of one release that concerns us; `size` is in bytes, `wanted` while its object is there."""

    newest: ReleaseRecord
    wanted: bool = True
    size: int = 0


async def check(scope: Scope) -> list[Finding]:
    """Look at the newest record of every release of ours."""
    newest: dict[tuple[str, str], ReleaseRecord] = {}
    for record in scope.records:
        newest[record.key] = record
    owners, names = _known(scope)
    ours = [r for r in newest.values() if _is_ours(r, scope.refs) or (r.namespace, r.owner) in owners]
    mine = [*ours, *(r for r in newest.values() if not r.owner and r.key in names)]
    facts = await together(_facts(scope, r, wanted=not r.owner or (r.namespace, r.owner) in owners) for r in mine)
    timeout = max([float(o.settings.get("helmTimeout") or _TIMEOUT) for o in scope.operators], default=_TIMEOUT)
    return judge(facts, now=scope.now, timeout=timeout)


def _known(scope: Scope) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Return (namespace, owner label) and (namespace, release name) of every custom resource."""
    owners, names = set(), set()
    for ref, objects in scope.objects.items():
        for obj in objects:
            namespace, name = obj["metadata"].get("namespace") or "", obj["metadata"]["name"]
            owners.add((namespace, owner_value(ref.group, ref.kind, name)))
            names.add((namespace, release_name(name)))
    return owners, names


def _is_ours(record: ReleaseRecord, refs: Sequence[KindRef]) -> bool:
    """Tell by the label whose release it is; long names are hashed in it, and found by their objects."""
    return any(record.owner.startswith(f"{ref.kind}.{ref.group}.") for ref in refs)


async def _facts(scope: Scope, record: ReleaseRecord, *, wanted: bool) -> ReleaseFacts:
    secrets = await scope.api.resource("v1", "Secret")
    secret = await scope.api.find(secrets, record.secret, record.namespace)
    if secret is None:
        return ReleaseFacts(record, wanted)
    return ReleaseFacts(record, wanted, len((secret.get("data") or {}).get("release") or ""))


def judge(facts: Sequence[ReleaseFacts], *, now: float, timeout: float) -> list[Finding]:
    """Apply the rules; `timeout` is what one helm run may take, in seconds. Pure."""
    found: list[Finding] = []
    for one in facts:
        record = one.newest
        name = f"release {record.namespace}/{record.name}"
        since = now - (record.modified or record.created)
        if record.status in PENDING or record.status == "uninstalling":
            found.append(_pending(record, name, since, timeout))
        elif record.status == "failed":
            text = f"revision {record.version} failed; what ran before goes on as far as it is left"
            remedy = "see the object's condition ReleaseFailed and `gateway-operator history`"
            found.append(problem(AREA, name, text, remedy))
        if not one.wanted and record.status != "uninstalled":
            text = f"it runs, and its object ({record.owner}) is gone: nobody looks after it"
            remedy = f"make the object again, or: helm uninstall {record.name} -n {record.namespace}"
            found.append(warning(AREA, name, text, remedy))
        if one.size > NEAR_LIMIT:
            text = f"its record has {one.size // 1024} KB, and a Secret holds 1024: soon no upgrade can be stored"
            found.append(problem(AREA, name, text, "take large files out of the chart or long texts out of the values"))
    return found


def _pending(record: ReleaseRecord, name: str, since: float, timeout: float) -> Finding:
    if since > timeout + _MARGIN:
        text = f"revision {record.version} has been {record.status} for {lasted(since)}: its helm is gone"
        remedy = "the operator mends this by itself; if it doesn't, it isn't running or not leading"
        return problem(AREA, name, text, remedy)
    return info(AREA, name, f"helm is at work ({record.status} for {lasted(since)})")
