"""Runs every area of the doctor and prints what was found. An area that can't look says so and stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gateway_operator.commands.doctor import (
    charts,
    cluster,
    crds,
    gateways,
    members,
    objects,
    operator,
    releases,
    rights,
)
from gateway_operator.commands.doctor.findings import Finding, Severity, info, problem, sorted_findings
from gateway_operator.commands.doctor.scope import Area, Scope
from gateway_operator.commands.operators import operators
from gateway_operator.commands.output import say, say_json
from gateway_operator.commands.session import Session
from gateway_operator.commands.targets import OWN, KindRef, kinds, records
from gateway_operator.errors import ApiError, ConfigError, Forbidden, KindNotServed

AREAS: tuple[tuple[str, Area], ...] = (
    (crds.AREA, crds.check),
    (operator.AREA, operator.check),
    (rights.AREA, rights.check),
    (charts.AREA, charts.check),
    (releases.AREA, releases.check),
    (objects.AREA, objects.check),
    (gateways.AREA, gateways.check),
    (members.AREA, members.check),
)


async def run(session: Session, operator_namespace: str | None, watches_file: Path | None) -> int:
    """Print the findings; returns 1 when one is a problem, else 0."""
    async with session.connected() as api:
        facts = await cluster.look(api)
        found = cluster.judge(facts)
        if not facts.error:
            scope = Scope(api, _refs(watches_file), watches_file, session.namespace)
            found += await _gather(scope, operator_namespace)
            found += [f for part in await asyncio.gather(*(_area(scope, *area) for area in AREAS)) for f in part]
    found = sorted_findings(found)
    bad = sum(f.severity is Severity.PROBLEM for f in found)
    if session.json:
        say_json({"cluster": asdict(facts), "findings": [asdict(f) for f in found], "problems": bad})
    else:
        _print(found, f"{facts.host} ({facts.version or 'no answer'})")
    return 1 if bad else 0


def _refs(watches_file: Path | None) -> tuple[KindRef, ...]:
    """Return the kinds of the rows; a file that doesn't load is told by the area charts."""
    try:
        return kinds(watches_file)
    except ConfigError:
        return OWN


async def _gather(scope: Scope, operator_namespace: str | None) -> list[Finding]:
    """Collect what several areas look at: operators, custom resources, Helm's records."""
    found: list[Finding] = []
    try:
        scope.operators = await operators(scope.api, operator_namespace)
    except ApiError as error:
        found.append(_unseen(operator.AREA, error))
    for ref in scope.refs:
        try:
            resource = await scope.api.resource(ref.api_version, ref.kind)
            listing = await scope.api.list(resource, scope.namespace, label_selector=ref.selector)
            scope.objects[ref] = listing.items
        except KindNotServed:
            continue
        except ApiError as error:
            found.append(_unseen(objects.AREA, error))
    try:
        scope.records = await records(scope.api, scope.namespace)
    except ApiError as error:
        found.append(_unseen(releases.AREA, error))
    return found


async def _area(scope: Scope, name: str, check: Area) -> list[Finding]:
    try:
        return await check(scope)
    except (ApiError, KindNotServed) as error:
        return [_unseen(name, error)]


def _unseen(area: str, error: ApiError | KindNotServed) -> Finding:
    tell = info if isinstance(error, Forbidden) else problem
    return tell(area, area, f"it could not be looked at: {error}", "run this with more rights, or again")


def _print(found: Sequence[Finding], where: str) -> None:
    for one in found:
        say(f"{one.severity.upper():8} {one.object}: {' '.join(one.meaning.split())}")
        if one.remedy:
            say(f"{'':8} -> {one.remedy}")
    counts = [(s, sum(f.severity is s for f in found)) for s in Severity]
    summary = ", ".join(
        f"{count} {s}{'s' if count > 1 and s is not Severity.INFO else ''}" for s, count in counts if count
    )
    say(f"{where}: {summary or 'nothing is wrong'}")
