"""CRDs of charts, which Helm installs once and never touches again.

`crdPolicy: CreateReplace` brings them to what the chart says before the chart itself goes in: server-side apply, never
a deletion, and never a CRD without a version in which objects are stored. Which subcharts are enabled is Helm's to
know, so a copy of the chart without templates is rendered where any has CRDs.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from gateway_operator.crds.conditions import is_true
from gateway_operator.errors import ApiError, Conflict, Forbidden, Invalid, Unavailable
from gateway_operator.kube import Api, Resource
from gateway_operator.releases import names
from gateway_operator.releases.chart import Chart
from gateway_operator.releases.helm import Helm
from gateway_operator.releases.helm_errors import HelmError, HelmForbidden, ObjectRefused, Unreachable
from gateway_operator.releases.objects import parse_manifest
from gateway_operator.releases.values import canonical_json
from gateway_operator.releases.watches import Watch
from gateway_operator.telemetry import get_logger

_ESTABLISHED = 10.0
_POLL = 0.1
_log = get_logger(__name__)


def stored_versions_lost(live: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the versions in which objects may be stored and which `wanted` doesn't have. Pure."""
    kept = {version["name"] for version in wanted["spec"]["versions"]}
    return sorted(set((live.get("status") or {}).get("storedVersions") or []) - kept)


class ChartCrds:
    """Applies the CRDs of charts, each set of them once."""

    def __init__(self, api: Api, helm: Helm) -> None:
        self._api = api
        self._helm = helm
        self._applied: set[str] = set()

    async def prepare(self, watch: Watch, values: dict[str, Any], *, name: str, namespace: str) -> None:
        """Bring the CRDs to what the row's chart has, if its policy says so. Raises HelmError."""
        if watch.crd_policy != "CreateReplace" or not (watch.chart.crds or watch.chart.packed):
            return
        crds = await self._crds(watch.chart, values, name=name, namespace=namespace)
        digest = canonical_json(crds)
        if digest in self._applied:
            return
        try:
            await self._replace(crds)
        except ApiError as error:
            raise _as_helm_error(error) from error
        self._applied.add(digest)

    async def _crds(self, chart: Chart, values: dict[str, Any], *, name: str, namespace: str) -> list[dict[str, Any]]:
        if chart.packed or any(file.startswith("charts/") for file in chart.crds):
            bare = await asyncio.to_thread(_without_templates, chart)
            found = await self._helm.crds(name=name, namespace=namespace, chart=bare, values=values)
        else:
            texts = [(chart.path / file).read_text(encoding="utf-8") for file in chart.crds]
            found = [obj for text in texts for obj in parse_manifest(text)]
        return [o for o in found if o["kind"] == "CustomResourceDefinition"]

    async def _replace(self, crds: list[dict[str, Any]]) -> None:
        resource = await self._api.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        for crd in crds:
            await self._check(resource, crd)
        for crd in crds:
            await self._api.apply(resource, crd, field_manager=names.HELM_MANAGER, force=True)
            _log.info("CRD applied", crd=crd["metadata"]["name"])
        for crd in crds:
            await self._established(resource, crd["metadata"]["name"])

    async def _check(self, resource: Resource, crd: dict[str, Any]) -> None:
        live = await self._api.find(resource, crd["metadata"]["name"])
        if live and (lost := stored_versions_lost(live, crd)):
            name = crd["metadata"]["name"]
            raise ObjectRefused(
                f"the chart's CRD {name} lacks the versions {', '.join(lost)}, in which objects are stored: migrate "
                f"them and take these versions out of the CRD's status.storedVersions, or set crdPolicy to Skip"
            )

    async def _established(self, resource: Resource, name: str) -> None:
        deadline = asyncio.get_running_loop().time() + _ESTABLISHED
        while asyncio.get_running_loop().time() < deadline:
            if is_true(await self._api.get(resource, name), "Established"):
                return
            await asyncio.sleep(_POLL)


def _without_templates(chart: Chart) -> Path:
    """Copy a chart beside its snapshot, without what could fail or take time when it is rendered."""
    bare = chart.path.parent / "crds-only"
    if not bare.exists():
        ignore = shutil.ignore_patterns("templates", "values.schema.json")
        shutil.copytree(chart.path, bare, ignore=ignore)
    return bare


def _as_helm_error(error: ApiError) -> HelmError:
    text = f"the chart's CRDs can't be applied: {error}"
    if isinstance(error, Forbidden):
        return HelmForbidden(text)
    if isinstance(error, (Unavailable, Conflict)):
        return Unreachable(text)
    return ObjectRefused(text) if isinstance(error, Invalid) else HelmError(text)
