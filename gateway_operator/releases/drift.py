"""Puts objects of a release back to what their chart says, or says that they differ.

What should be is the manifest in Helm's record; it is applied under Helm's own field manager, so that Helm and this
repair are one writer to the API server. An apply never removes what others own: what people added is removed by a JSON
patch before. Usually that is one read and one write.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter

from gateway_operator.errors import ApiError, Conflict, Invalid, KindNotServed
from gateway_operator.kube import Api, Resource
from gateway_operator.releases import names
from gateway_operator.releases.comparison import Comparison, Owners, compare
from gateway_operator.releases.diff import ABSENT, Change, changes
from gateway_operator.releases.drift_rules import DriftPolicy, Terms
from gateway_operator.releases.leave import is_kept
from gateway_operator.releases.objects import ObjectId
from gateway_operator.releases.ownership import Path, step
from gateway_operator.releases.patches import Patch, belong_together, disown, removal, rewrite
from gateway_operator.releases.pointers import to_path, to_pointer
from gateway_operator.releases.telling import Drift, tellable

DRIFT_CORRECTIONS = Counter("gateway_operator_drift_corrections_total", "Objects put back.", ["kind", "what"])

_ERROR_LIMIT = 400
_TRIES = 3  # more than one: controllers write to a workload as soon as people did
_REMEMBERED = 1000
_Steadfast = frozenset[tuple[Path, str]]


@dataclass(frozen=True)
class Checked:
    """What a check found and did; `live` is the object as it is now, None where it isn't there."""

    drift: Drift | None = None
    live: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Case:
    """One object under repair."""

    found: ObjectId
    resource: Resource
    comparison: Comparison
    live: dict[str, Any]
    exact: bool  # write only if the object is still `live`, so that nothing is put back untold


class DriftCorrector:
    """Compares and repairs single objects."""

    def __init__(self, api: Api) -> None:
        self._api = api
        # what was removed and came back by itself, as a default that somebody owns: with its value, no drift
        self._steadfast: dict[ObjectId, _Steadfast] = {}

    async def check(self, found: ObjectId, wanted: dict[str, Any], terms: Terms) -> Checked:
        """Look at one object and do what its policy says. Raises ApiError, KindNotServed."""
        resource = await self._api.resource(found.api_version, found.kind)
        for _ in range(_TRIES - 1):
            with contextlib.suppress(Conflict):  # it changed meanwhile
                return await self._check(found, resource, wanted, terms, exact=True)
        return await self._check(found, resource, wanted, terms, exact=False)

    async def _check(
        self, found: ObjectId, resource: Resource, wanted: dict[str, Any], terms: Terms, *, exact: bool
    ) -> Checked:
        live = await self._api.find(resource, found.name, found.namespace or None)
        if live is None:
            return await self._missing(found, resource, wanted, terms)
        policy = terms.policy_for(wanted, live)
        if live["metadata"].get("deletionTimestamp") or policy is DriftPolicy.IGNORE:
            return Checked(live=live)  # of a deletion, the event will come
        comparison = self._known(found, compare(wanted, live, terms.rules_for(wanted)), live)
        if not comparison.differs:
            return Checked(live=live)
        case = _Case(found, resource, comparison, live, exact)
        return await (self._revert(case) if policy is DriftPolicy.REVERT else self._report(case))

    async def _missing(self, found: ObjectId, resource: Resource, wanted: dict[str, Any], terms: Terms) -> Checked:
        policy = terms.policy_for(wanted, None)
        if policy is DriftPolicy.REVERT:
            live = await self._apply(resource, wanted)
            DRIFT_CORRECTIONS.labels(found.kind, "restored").inc()
            return Checked(Drift(found, "restored"), live)
        return Checked(Drift(found, "missing") if policy is DriftPolicy.WARN else None)

    async def _revert(self, case: _Case) -> Checked:
        if not case.comparison.certain and not _changes(case, await self._dry_run(case)):
            return Checked(live=case.live)
        after = await self._disown(case, await self._write(case))
        self._remember(case, after)
        found = _changes(case, after)
        if not found:
            return Checked(live=after)
        DRIFT_CORRECTIONS.labels(case.found.kind, "reverted").inc()
        return Checked(_drift(case, "reverted", after, found), after)

    async def _write(self, case: _Case) -> dict[str, Any]:
        """Take away what people added and apply the rest; where neither is valid without the other, both at once."""
        comparison, now = case.comparison, case.live
        if not belong_together(comparison.added, comparison.gaps):
            try:
                if comparison.added:
                    now = await self._patch(case, removal(now, comparison.added))
                elif case.exact:
                    return await self._apply(case.resource, _at_version(comparison.wanted, now))
                return await self._apply(case.resource, comparison.wanted) if comparison.gaps else now
            except Invalid:
                if not (comparison.added and comparison.gaps):
                    raise
        await self._patch(case, rewrite(comparison.wanted, case.live, comparison.added, now))
        return await self._apply(case.resource, comparison.wanted)

    async def _disown(self, case: _Case, after: dict[str, Any]) -> dict[str, Any]:
        """Give up what our patch owns: Helm could not take it away later."""
        for _ in range(_TRIES):
            patch = disown(after, names.DRIFT_MANAGER)
            if not patch:
                return after
            try:
                return await self._patch(case, patch)
            except Conflict:
                after = await self._api.get(case.resource, case.found.name, case.found.namespace or None)
        return after

    async def _report(self, case: _Case) -> Checked:
        after = await self._dry_run(case) if case.comparison.gaps else case.live
        found = _changes(case, after)
        found += [Change(to_pointer(path), _at(case.live, path), ABSENT) for path in case.comparison.added]
        return Checked(_drift(case, "differs", after, found) if found else None, case.live)

    async def _dry_run(self, case: _Case) -> dict[str, Any]:
        return await self._apply(case.resource, case.comparison.wanted, dry_run=True)

    async def _apply(self, resource: Resource, wanted: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        return await self._api.apply(resource, wanted, field_manager=names.HELM_MANAGER, force=True, dry_run=dry_run)

    async def _patch(self, case: _Case, patch: Patch) -> dict[str, Any]:
        """Run a JSON patch. Raises Conflict when its test failed, which the API server calls an invalid request."""
        name, namespace = case.found.name, case.found.namespace or None
        try:
            return await self._api.json_patch(case.resource, name, patch, namespace, field_manager=names.DRIFT_MANAGER)
        except Invalid as error:
            if error.details:
                raise
            raise Conflict(error.status, error.reason, error.message) from error

    def _known(self, found: ObjectId, comparison: Comparison, live: dict[str, Any]) -> Comparison:
        """Leave out what has been removed before and stayed as it was."""
        known = self._steadfast.get(found)
        if not known:
            return comparison
        added = tuple(p for p in comparison.added if (p, repr(_at(live, p))) not in known)
        return Comparison(comparison.wanted, comparison.gaps, added, certain=comparison.certain and bool(added))

    def _remember(self, case: _Case, after: dict[str, Any]) -> None:
        stayed = {(p, repr(_at(after, p))) for p in case.comparison.added if _at(after, p) == _at(case.live, p)}
        if stayed:
            known = self._steadfast.pop(case.found, frozenset())
            self._steadfast[case.found] = known | stayed
            while len(self._steadfast) > _REMEMBERED:
                del self._steadfast[next(iter(self._steadfast))]


def _changes(case: _Case, after: dict[str, Any]) -> list[Change]:
    """Tell what a repair changed; others may have written meanwhile."""
    return [change for change in changes(case.live, after) if not is_kept(to_path(change.pointer))]


def _drift(case: _Case, what: str, after: dict[str, Any], found: list[Change]) -> Drift:
    culprits = Owners(case.live).culprits([*case.comparison.gaps, *case.comparison.added])
    return Drift(case.found, what, tellable(case.live, after, found), culprits)


def _at_version(wanted: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
    meta = {**wanted["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
    return {**wanted, "metadata": meta}


def _at(obj: Any, path: Path) -> Any:
    for part in path:
        obj = step(obj, part)
    return obj


def describe(error: ApiError | KindNotServed, found: ObjectId) -> str:
    """Say why a repair failed. What the API server says of a Secret may quote it."""
    if found.kind == "Secret" and isinstance(error, ApiError):
        fields = [c.get("field", "") for c in error.details.get("causes") or [] if isinstance(c, dict)]
        return f"{found} can't be put back: {error.reason} ({error.status}) {', '.join(fields)}".rstrip()
    text = str(error)
    return f"{found} can't be put back: {text if len(text) <= _ERROR_LIMIT else f'{text[:_ERROR_LIMIT]}…'}"
