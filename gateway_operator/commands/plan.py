"""What the engine would do for one object now: worked out with the engine's own rules, and nothing is written.

A plan may lead to others: the release of a Gateway makes an Nginx, which has a release of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway_operator.commands.ports import Move, moves
from gateway_operator.commands.targets import KindRef, Object, Target, records, release_of_target
from gateway_operator.errors import ApiError, KindNotServed, NotFound
from gateway_operator.kube import Api
from gateway_operator.releases import names
from gateway_operator.releases.annotations import requests_of
from gateway_operator.releases.comparison import compare
from gateway_operator.releases.diff import Change, changes
from gateway_operator.releases.drift_rules import Terms
from gateway_operator.releases.helm import Helm
from gateway_operator.releases.helm_errors import HelmError
from gateway_operator.releases.kinds import KINDS, PlainKind
from gateway_operator.releases.manifests import Manifests
from gateway_operator.releases.objects import Manifest, ObjectId, object_id
from gateway_operator.releases.pointers import to_pointer
from gateway_operator.releases.records import ReleaseRecord, chart_name, made_here
from gateway_operator.releases.state import Facts, State, Wanted, observe, taken
from gateway_operator.releases.telling import tellable
from gateway_operator.releases.values import build_values, input_digest, merge
from gateway_operator.releases.watches import Watch
from gateway_operator.settings import GatewaySettings


@dataclass(frozen=True)
class Difference:
    """How one object differs; `what` is created, deleted or changed. Values that must not be shown are `***`."""

    object: str
    what: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What would be done for one custom resource."""

    target: str
    release: str
    action: str  # install, upgrade, nothing, refused, paused, held (at a revision) or deleted
    reasons: tuple[str, ...] = ()
    problem: str = ""
    remarks: tuple[str, ...] = ()
    digest: tuple[str, str] = ("", "")  # recorded, wanted
    ports: tuple[Move, ...] = ()
    values: tuple[Change, ...] = ()
    objects: tuple[Difference, ...] = ()
    drift: tuple[Difference, ...] = ()

    @property
    def differs(self) -> bool:
        """True when the engine has something to do, or can't do what it should."""
        return bool(self.problem or self.drift or self.action in {"install", "upgrade"})


@dataclass
class Planner:
    """Makes plans against one cluster."""

    api: Api
    helm: Helm
    refs: Sequence[KindRef]
    settings: GatewaySettings
    _manifests: Manifests = field(init=False)

    def __post_init__(self) -> None:
        self._manifests = Manifests(self.api)

    async def plans(self, target: Target) -> list[Plan]:
        """Return the plan of an object, and of those that its release makes. Raises ApiError."""
        plan, made = await self._plan(target)
        found = [plan]
        for child in made:
            found += await self.plans(child)
        return found

    async def _plan(self, target: Target) -> tuple[Plan, list[Target]]:
        watch = target.ref.watch
        assert watch is not None  # noqa: S101 - checked when the command began
        known = await records(self.api, target.namespace)
        release = release_of_target(target, known)
        mine = [r for r in known if r.name == release and r.status != "uninstalled"]
        peers = await self._peers(target)
        logic = KINDS.get(watch.key, PlainKind())
        wished = logic.plan(target.obj, peers, self.settings, installed=bool(mine))
        deployed = next((r for r in reversed(mine) if r.status == "deployed"), None)
        merged = build_values(wished.values, watch.overrides)
        merged = replace(merged, values=merge(merged.values, await self._traffic(deployed)))
        digest = input_digest(chart_digest=watch.chart.digest, values=merged.values, release_name=release)
        newest = mine[-1] if mine else None
        remarks = (*(n.message for n in wished.notices), *merged.remarks)
        drift, live = await self._drift(deployed, Terms(watch.drift_policy, watch.ignore_rules))
        if wished.refusal:
            why = wished.refusal.message
            return Plan(str(target), release, "refused", problem=why, remarks=remarks, drift=drift), []
        if rests := _rests(target.obj):
            return Plan(str(target), release, rests, remarks=remarks, drift=drift), []
        old = await self._manifests.get(deployed) if deployed else None
        if newest and await self._is_foreign(newest, Wanted(digest, target.owner, watch.chart.name)):
            why = taken(newest, (target.namespace, release))
            return Plan(str(target), release, "refused", problem=why, remarks=remarks), []
        ours = newest is not None and made_here(newest, mine[-2] if len(mine) > 1 else None)
        reasons = await self._reasons(watch, newest, merged.values, digest, ours=ours)
        plan = Plan(
            str(target),
            release,
            "install" if newest is None else "upgrade" if reasons else "nothing",
            reasons=reasons,
            remarks=remarks,
            digest=(newest.digest if newest else "", digest),
            drift=drift,
        )
        if plan.action == "nothing":
            return plan, await self._children(old, target)
        try:
            text = await self.helm.preview(
                name=release, namespace=target.namespace, chart=watch.chart.path, values=merged.values
            )
        except HelmError as error:
            return replace(plan, problem=f"{error.word}: {error}"), []
        new = await self._manifests.build(text, (target.namespace, release), 0, watch.chart.label, digest)
        wanted = new.objects()
        recorded = (await self._payload(deployed)).get("config") or {} if deployed else {}
        plan = replace(
            plan,
            ports=tuple(moves(live, wanted)),
            values=value_changes(recorded, merged.values),
            objects=differences(old.objects() if old else [], wanted),
        )
        return plan, await self._children(new, target)

    async def _is_foreign(self, newest: ReleaseRecord, wanted: Wanted) -> bool:
        """Tell whether the engine would refuse to touch the release."""
        recorded = None if newest.owner else chart_name(await self._payload(newest))
        return observe(newest, wanted, Facts(recorded_chart=recorded)) is State.FOREIGN

    async def _payload(self, record: ReleaseRecord) -> dict[str, Any]:
        return await self._manifests.payload(record.key, record.version)

    async def _traffic(self, deployed: ReleaseRecord | None) -> dict[str, Any]:
        """Return the values that the operator makes of policies: those that are there, for nothing here changes it."""
        if deployed is None or not deployed.traffic:
            return {}
        config = (await self._payload(deployed)).get("config") or {}
        if "mirrors" in config:
            return {"mirrors": config["mirrors"]}
        return {"controller": {"multiCluster": (config.get("controller") or {}).get("multiCluster")}}

    async def _peers(self, target: Target) -> list[Object]:
        listing = await self.api.list(target.resource, label_selector=target.ref.selector)
        mine = (target.namespace, target.name)
        others = [o for o in listing.items if (o["metadata"].get("namespace") or "", o["metadata"]["name"]) != mine]
        return [*others, target.obj]

    async def _reasons(
        self,
        watch: Watch,
        newest: ReleaseRecord | None,
        values: dict[str, Any],
        digest: str,
        *,
        ours: bool,
    ) -> tuple[str, ...]:
        """Say why Helm would run; empty: it would not."""
        if newest is None:
            return ("there is no release yet",)
        payload = await self._payload(newest)
        meta = (payload.get("chart") or {}).get("metadata") or {}
        if not newest.owner:
            return (f"the release was made by somebody else's helm (chart {meta.get('name')}) and is taken over",)
        found = []
        if newest.status != "deployed":
            found.append(f"its newest revision is {newest.status}")
        if not ours:
            found.append(f"somebody's helm made revision {newest.version}")
        if newest.digest == digest and ours:
            return tuple(found)
        if newest.chart != watch.chart.short_digest:
            found.append(f"the chart changed: {meta.get('name')}-{meta.get('version')} -> {watch.chart.label}")
        if (payload.get("config") or {}) != values:
            sets = ", ".join(o.text for o in watch.overrides)
            found.append("the values changed" + (f" (watches.yaml sets {sets})" if sets else ""))
        return tuple(found or ["the digest of its inputs changed"])

    async def _drift(self, deployed: ReleaseRecord | None, terms: Terms) -> tuple[tuple[Difference, ...], list[Object]]:
        """Compare what is deployed with what is there; returns the live objects as well."""
        manifest = await self._manifests.get(deployed) if deployed else None
        if manifest is None or deployed is None:
            return (), []
        found: list[Difference] = []
        there: list[Object] = []
        for wanted in manifest.objects():
            i = object_id(wanted)
            try:
                resource = await self.api.resource(i.api_version, i.kind)
                live = await self.api.get(resource, i.name, i.namespace or None)
            except (NotFound, KindNotServed):
                found.append(Difference(str(i), "missing"))
                continue
            there.append(live)
            if deployed.owner and (changed := await self._changed(i, wanted, live, terms)):
                found.append(Difference(str(i), "differs", changed))
        return tuple(found), there

    async def _changed(self, i: ObjectId, wanted: Object, live: Object, terms: Terms) -> tuple[Change, ...]:
        """Return what a repair would change, from live to wanted."""
        compared = compare(wanted, live, terms.rules_for(wanted))
        if not compared.differs:
            return ()
        resource = await self.api.resource(i.api_version, i.kind)
        try:
            after = await self.api.apply(
                resource, compared.wanted, field_manager=names.HELM_MANAGER, force=True, dry_run=True
            )
        except ApiError:  # no right, or an object that an apply can't repair: tell what is known
            return tuple(Change(to_pointer(path)) for path in (*compared.gaps, *compared.added))
        added = tuple(Change(to_pointer(path)) for path in compared.added)
        return (*tellable(live, after, changes(live, after)), *added)

    async def _children(self, manifest: Manifest | None, parent: Target) -> list[Target]:
        """Return the custom resources of watched kinds in a manifest, as they would be."""
        found = []
        for obj in manifest.objects() if manifest else []:
            i = object_id(obj)
            ref = next((r for r in self.refs if (r.api_version, r.kind) == (i.api_version, i.kind)), None)
            if ref is None or (ref == parent.ref and i.name == parent.name):
                continue
            resource = await self.api.resource(i.api_version, i.kind)
            live = await self.api.find(resource, i.name, i.namespace or None) or {}
            found.append(
                Target(ref, resource, {**live, **obj, "metadata": {**live.get("metadata", {}), **obj["metadata"]}})
            )
        return found


def _rests(obj: Object) -> str:
    """Say why the engine leaves an object's release as it is; empty: it doesn't."""
    requests = requests_of(obj)
    if requests.paused:
        return "paused"
    if obj["metadata"].get("deletionTimestamp"):
        return "deleted"
    return "held" if requests.rollback_to is not None else ""


def value_changes(old: dict[str, Any], new: dict[str, Any]) -> tuple[Change, ...]:
    """Compare two values documents. Pure."""
    before, after = {"values": old}, {"values": new}
    found = tellable(before, after, changes(before, after))
    return tuple(replace(change, pointer=change.pointer.removeprefix("/values")) for change in found)


def differences(old: Sequence[Object], new: Sequence[Object]) -> tuple[Difference, ...]:
    """Compare two manifests object by object. Pure."""
    before, after = {object_id(o): o for o in old}, {object_id(o): o for o in new}
    found = []
    for i in sorted(before.keys() | after.keys()):
        if i not in after:
            found.append(Difference(str(i), "deleted"))
        elif i not in before:
            found.append(Difference(str(i), "created"))
        elif changed := tellable(before[i], after[i], changes(before[i], after[i])):
            found.append(Difference(str(i), "changed", changed))
    return tuple(found)
