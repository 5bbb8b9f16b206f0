"""What the API tells of releases: plans that helm renders without a cluster, and the history in Helm's own records.

Only records in the working namespace are read; where the API's account may not, it says so. Nothing is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from gateway_operator.commands.diff import plain_changes, plain_difference
from gateway_operator.commands.history import revisions
from gateway_operator.commands.plan import differences, value_changes
from gateway_operator.commands.ports import moves
from gateway_operator.commands.targets import KindRef, Object, Target, kinds, records, release_of_target
from gateway_operator.errors import ConfigError, Forbidden
from gateway_operator.kube import Api
from gateway_operator.releases.gateways import register_kinds
from gateway_operator.releases.helm import Helm, HelmOptions, open_helm
from gateway_operator.releases.helm_errors import HelmError
from gateway_operator.releases.kinds import KINDS, PlainKind
from gateway_operator.releases.manifests import Manifests
from gateway_operator.releases.objects import object_id
from gateway_operator.releases.records import ReleaseRecord
from gateway_operator.releases.values import build_values
from gateway_operator.releases.watches import Watch
from gateway_operator.settings import GatewaySettings
from gateway_operator.settings_api import ApiSettings
from gateway_operator.telemetry import get_logger
from gateway_operator.web.problems import Problem

log = get_logger(__name__)
_KIND = "Gateway"


class ClusterReleases:
    """Plans and histories of Gateways; `helm` None: there are no manifests, and plans tell values only."""

    def __init__(self, api: Api, refs: Sequence[KindRef], helm: Helm | None, settings: GatewaySettings) -> None:
        self._api = api
        self._refs = refs
        self._helm = helm
        self._settings = settings
        self._manifests = Manifests(api)

    @classmethod
    @asynccontextmanager
    async def open(cls, api: Api, settings: ApiSettings) -> AsyncIterator[ClusterReleases]:
        """Find helm and the charts; without them the API still serves, and plans say less."""
        register_kinds()
        try:
            refs = kinds(settings.api.watches_file)
            async with open_helm(HelmOptions(executable=settings.api.helm)) as helm:
                yield cls(api, refs, helm, settings.gateway)
        except ConfigError as error:
            log.warning("plans can't show manifests", error=str(error))
            yield cls(api, kinds(None), None, settings.gateway)

    async def plan(self, gateway: Object, peers: list[Object]) -> list[dict[str, Any]]:
        """Return what the operator would do for a Gateway, and for what its release makes. Raises ApiError, Problem."""
        return await self._plans(await self._target(gateway), [*peers, gateway])

    async def history(self, gateway: Object) -> dict[str, Any]:
        """Return the revisions of a Gateway's release. Raises ApiError, Problem 503."""
        try:
            release, found = await revisions(self._api, await self._target(gateway))
        except Forbidden as error:
            raise _unreadable() from error
        hidden = ("holder", "digest")  # whose replica and which inputs: the operator's own affairs
        return {
            "release": release,
            "revisions": [{key: value for key, value in asdict(one).items() if key not in hidden} for one in found],
        }

    async def _target(self, gateway: Object) -> Target:
        ref = next(ref for ref in self._refs if ref.kind == _KIND)
        return Target(ref, await self._api.resource(ref.api_version, ref.kind), gateway)

    async def _plans(self, target: Target, peers: list[Object]) -> list[dict[str, Any]]:
        try:
            known = await records(self._api, target.namespace)
        except Forbidden as error:
            raise _unreadable() from error
        release = release_of_target(target, known)
        mine = [r for r in known if r.name == release and r.status != "uninstalled"]
        logic = KINDS.get((target.ref.group, target.ref.kind), PlainKind())
        wished = logic.plan(target.obj, peers, self._settings, installed=bool(mine))
        watch = target.ref.watch
        merged = build_values(wished.values, watch.overrides if watch else (), suppress=True)
        old, recorded = await self._deployed(next((r for r in reversed(mine) if r.status == "deployed"), None))
        refusal = wished.refusal
        plan: dict[str, Any] = {
            "object": str(target),
            "release": release,
            "action": "refused" if refusal else "upgrade" if mine else "install",
            "refusal": {"reason": str(refusal.reason), "message": refusal.message} if refusal else None,
            "remarks": [*(notice.message for notice in wished.notices), *merged.remarks],
            "values": plain_changes(value_changes(recorded, merged.values)),
            "ports": [],
            "objects": [],
        }
        if refusal or watch is None:
            return [plan]
        new = _placed(await self._render(watch, release, target.namespace, merged.values), target.namespace)
        found = differences(_placed(old, target.namespace), new)
        if mine and not found and not plan["values"]:
            plan["action"] = "nothing"
        plan["objects"] = [plain_difference(one) for one in found]
        plan["ports"] = [vars(move) for move in moves(old, new)]
        plans = [plan]
        for child in await self._children(new):
            plans += await self._plans(child, [])
        return plans

    async def _deployed(self, record: ReleaseRecord | None) -> tuple[list[Object], dict[str, Any]]:
        """Return the objects and the values of a revision."""
        if record is None:
            return [], {}
        manifest = await self._manifests.get(record)
        payload = await self._manifests.payload(record.key, record.version)
        return (manifest.objects() if manifest else []), payload.get("config") or {}

    async def _render(self, watch: Watch, release: str, namespace: str, values: dict[str, Any]) -> list[Object]:
        if self._helm is None:
            return []
        try:
            return await self._helm.render(name=release, namespace=namespace, chart=watch.chart.path, values=values)
        except HelmError as error:
            text = f"the chart can't be rendered with these values: {error.word}"
            raise Problem(422, "NotRendered", text) from error

    async def _children(self, objects: Sequence[Object]) -> list[Target]:
        """Return the custom resources of watched kinds that a release would make."""
        found = []
        for obj in objects:
            i = object_id(obj)
            ref = next((r for r in self._refs if (r.api_version, r.kind) == (i.api_version, i.kind)), None)
            if ref is not None and ref.kind != _KIND:
                found.append(Target(ref, await self._api.resource(ref.api_version, ref.kind), obj))
        return found


def _placed(objects: Sequence[Object], namespace: str) -> list[Object]:
    """Say of each object in which namespace it is, as Helm does when it writes."""
    return [{**obj, "metadata": {"namespace": namespace, **obj["metadata"]}} for obj in objects]


def _unreadable() -> Problem:
    text = "the API's account may not read Helm's records: set api.releases of its chart, or use the command line"
    return Problem(503, "OwnRightsMissing", text, down="kubernetes")
