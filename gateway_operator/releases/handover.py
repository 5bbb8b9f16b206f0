"""Prepares the objects of somebody else's release for ours, so that the first upgrade takes over all of them.

Helm 3 and the Helm operators write by patches, under the name of their own program; the API server then counts their
fields as belonging to that name. Helm 4 applies, and an apply removes only fields of its own name: an environment
variable or a volume of the old chart would stay in the pods for ever. So the fields that the old record lists are
given to Helm's name first. Values don't change by that, and pods don't restart.

A webhook of the old chart is told to ignore failures: Helm removes its Service before the webhook itself, and in
between every change of an Ingress would be refused.
"""

from __future__ import annotations

import copy
from typing import Any

from gateway_operator.errors import ApiError, KindNotServed
from gateway_operator.kube import Api, Resource
from gateway_operator.releases import names
from gateway_operator.releases.objects import Manifest, ObjectId, object_id
from gateway_operator.telemetry import get_logger

_WEBHOOKS = {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"}
_log = get_logger(__name__)


async def prepare(api: Api, manifest: Manifest, *, take_fields: bool) -> None:
    """Prepare every object of a foreign manifest; what can't be prepared is left to Helm.

    `take_fields` is for a Helm that applies on the server. Raises ApiError when the API server is away.
    """
    for obj in manifest.objects():
        found = object_id(obj)
        try:
            await _prepare(api, found, obj, take_fields=take_fields)
        except (ApiError, KindNotServed) as error:
            if isinstance(error, ApiError) and error.retryable:
                raise
            _log.warning("object is taken over as it is", object=str(found), why=str(error))
    _log.info("objects prepared for take-over", chart=manifest.chart, objects=len(manifest.ids))


async def _prepare(api: Api, found: ObjectId, obj: dict[str, Any], *, take_fields: bool) -> None:
    resource = await api.resource(found.api_version, found.kind)
    live = await api.find(resource, found.name, found.namespace or None)
    if live is None:
        return
    if found.kind in _WEBHOOKS:
        live = await _soften(api, resource, live)
    if take_fields and writers(live) - {names.HELM_MANAGER}:
        applied = await api.apply(resource, obj, field_manager=names.HELM_MANAGER, force=True, dry_run=True)
        fields = handed_over(live, applied)
        if fields is not None:
            meta = {"managedFields": fields, "resourceVersion": live["metadata"]["resourceVersion"]}
            await api.merge_patch(resource, found.name, {"metadata": meta}, found.namespace or None)


async def _soften(api: Api, resource: Resource, live: dict[str, Any]) -> dict[str, Any]:
    ops = [
        {"op": "replace", "path": f"/webhooks/{n}/failurePolicy", "value": "Ignore"}
        for n, webhook in enumerate(live.get("webhooks") or [])
        if webhook.get("failurePolicy") == "Fail" and (webhook.get("clientConfig") or {}).get("service")
    ]
    if not ops:
        return live
    return await api.json_patch(resource, live["metadata"]["name"], ops, field_manager=names.HELM_MANAGER)


def writers(obj: dict[str, Any]) -> set[str]:
    """Name the managers that wrote an object by updates. Pure."""
    return {entry["manager"] for entry in obj["metadata"].get("managedFields") or [] if _is_update(entry)}


def handed_over(live: dict[str, Any], applied: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the managedFields of `live` after what Helm applied in `applied` became Helm's alone. Pure.

    None when `applied` shows nothing of Helm's.
    """
    helms = [e for e in applied["metadata"].get("managedFields") or [] if _is_helms(e)]
    if not helms:
        return None
    taken = helms[0]["fieldsV1"]
    kept = []
    for entry in live["metadata"].get("managedFields") or []:
        if _is_helms(entry):
            continue
        if _is_update(entry):
            left = without(entry.get("fieldsV1") or {}, taken)
            if left:
                kept.append({**entry, "fieldsV1": left})
        else:
            kept.append(entry)
    return [*kept, helms[0]]


def without(fields: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any]:
    """Return the fieldsV1 tree `fields` less what `taken` has. Pure."""
    left: dict[str, Any] = {}
    for key, below in fields.items():
        if key not in taken:
            left[key] = copy.deepcopy(below)
        elif below and (rest := without(below, taken[key])):
            left[key] = rest
    return left


def _is_update(entry: dict[str, Any]) -> bool:
    return entry.get("operation") == "Update" and not entry.get("subresource")


def _is_helms(entry: dict[str, Any]) -> bool:
    return entry.get("operation") == "Apply" and entry.get("manager") == names.HELM_MANAGER
