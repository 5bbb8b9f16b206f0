"""Makes a thousand installed releases in half a minute: one is installed by the operator itself, the others are copies.

Custom resource with status, release record and objects are copied under other names, as the operator would have left
them; to install a thousand with helm takes longer than all that is to be measured afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.engine.operators import Contender, running
from bench.engine.setup import settled
from bench.engine.world import CHART, NAMESPACE, SITES, World, eventually, is_true, site_names, together
from gateway_operator.kube import Api, Resource
from gateway_operator.releases import names
from gateway_operator.releases.chart import load_chart
from gateway_operator.releases.objects import parse_manifest
from gateway_operator.releases.records import decode_payload, encode_payload
from gateway_operator.releases.values import input_digest

_SECRETS = Resource("", "v1", "Secret", "secrets", namespaced=True)
_DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", namespaced=True)
_SERVER = ("managedFields", "uid", "resourceVersion", "creationTimestamp", "generation")
_FIRST = "site-0000"


@dataclass(frozen=True)
class _Template:
    """One installed release as JSON, to be copied under other names."""

    site: dict[str, Any]
    status_manager: str  # empty: the status was not applied but updated
    secret: dict[str, Any]
    payload: dict[str, Any]
    objects: tuple[tuple[Resource, dict[str, Any]], ...]

    def renamed(self, part: Any, name: str) -> Any:
        return json.loads(json.dumps(part).replace(_FIRST, name))


async def plant(world: World, contender: Contender, count: int) -> None:
    """Leave `count` installed releases and no operator."""
    async with running(contender, world) as operator:
        await world.apply_sites([_FIRST])
        await world.until_deployed(1, within=60)
        await settled(operator)
    template = await _read(world.api)
    await together(_copy(world.api, template, name, contender) for name in site_names(count)[1:])
    await eventually(lambda: _all_seen(world.api, count), within=300, every=1)


async def _read(api: Api) -> _Template:
    site = await api.get(SITES, _FIRST, NAMESPACE)
    listing = await api.list(_SECRETS, NAMESPACE, label_selector=f"owner=helm,name={_FIRST}")
    secret = listing.items[0]
    payload = decode_payload(secret)
    return _Template(
        site=_bare(site),
        status_manager=_status_manager(site),
        secret=_bare(secret),
        payload=payload,
        objects=tuple([await _applied(api, o) for o in parse_manifest(payload["manifest"])]),
    )


def _bare(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k not in _SERVER}}


def _status_manager(site: dict[str, Any]) -> str:
    entries: Iterator[dict[str, Any]] = (
        e for e in site["metadata"]["managedFields"] if e.get("subresource") == "status"
    )
    return next((str(e["manager"]) for e in entries if e["operation"] == "Apply"), "")


async def _applied(api: Api, obj: dict[str, Any]) -> tuple[Resource, dict[str, Any]]:
    """Complete an object of a manifest with what Helm adds."""
    resource = await api.resource(obj["apiVersion"], obj["kind"])
    meta = dict(obj["metadata"])
    meta["annotations"] = {names.RELEASE_NAME: _FIRST, names.RELEASE_NAMESPACE: NAMESPACE}
    if resource.namespaced:
        meta["namespace"] = NAMESPACE
    return resource, {**obj, "metadata": meta}


async def _copy(api: Api, template: _Template, name: str, contender: Contender) -> None:
    site = template.renamed(template.site, name)
    secret = template.renamed(template.secret, name)
    secret["data"] = {"release": encode_payload(template.renamed(template.payload, name))}
    if contender.ours:
        _digest(site, secret, name)
    for resource, obj in template.objects:
        await api.apply(resource, template.renamed(obj, name), field_manager=names.HELM_MANAGER)
    await api.create(_SECRETS, secret, NAMESPACE)
    created = await api.create(SITES, {k: v for k, v in site.items() if k != "status"}, NAMESPACE)
    if template.status_manager:
        whole = {k: v for k, v in site.items() if k != "spec"}
        whole["metadata"] = {"name": name, "namespace": NAMESPACE}
        await api.apply(SITES, whole, field_manager=template.status_manager, subresource="status")
    else:
        await api.replace(SITES, {**created, "status": site["status"]}, NAMESPACE, "status")


def _digest(site: dict[str, Any], secret: dict[str, Any], name: str) -> None:
    """Write the digest that the engine will want to see: the name of a release is part of it."""
    chart = load_chart(CHART).digest
    old = secret["metadata"]["labels"][names.DIGEST_LABEL]
    if old != input_digest(chart_digest=chart, values=site["spec"], release_name=_FIRST):
        raise RuntimeError("the engine computes digests in another way than bench/engine/plant.py")
    new = input_digest(chart_digest=chart, values=site["spec"], release_name=name)
    secret["metadata"]["labels"][names.DIGEST_LABEL] = new
    site["status"] = json.loads(json.dumps(site["status"]).replace(old, new))


async def _all_seen(api: Api, count: int) -> bool:
    """Tell whether the controllers have seen every Deployment: their statuses would else be news to the operator."""
    deployments = (await api.list(_DEPLOYMENTS, NAMESPACE)).items
    seen = [d for d in deployments if (d.get("status") or {}).get("observedGeneration") and is_true(d, "Available")]
    return len(seen) == count
