"""`gateway-operator move`: brings a Gateway into another namespace, as when the working namespace was changed.

A gateway that stays in the old working namespace runs on, and is refused any change (kubesphere/kubesphere#5242). Its
release can't be in two namespaces at once, for what it has cluster-wide and its node ports are single; so a paused
copy is written first, then the old one is taken down, then the copy is let go with the same node ports. Whatever stops
the command in between, the same command goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

from gateway_operator.commands.operators import gateway_settings
from gateway_operator.commands.output import progress, say, say_json
from gateway_operator.commands.session import Session
from gateway_operator.commands.targets import NoSuchObject
from gateway_operator.crds.base import API_VERSION, GROUP
from gateway_operator.crds.conditions import condition_of
from gateway_operator.errors import Forbidden, GatewayOperatorError, NotFound
from gateway_operator.gateways import node_ports
from gateway_operator.gateways.claims import mapping
from gateway_operator.gateways.scopes import newcomer_verdict
from gateway_operator.kube import Api, Resource
from gateway_operator.releases.annotations import OURS, requests_of
from gateway_operator.releases.port_memory import drop_memory

Object = dict[str, Any]
PAUSED = f"{OURS}paused"
MOVED_FROM = f"{GROUP}/moved-from"
_KEPT_OUT = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
_POLL = 0.5


class MoveFailed(GatewayOperatorError):
    """The gateway can't be there, or isn't yet."""


async def run(
    session: Session,
    name: str,
    target: str,
    config: Path | None,
    *,
    dry_run: bool,
    timeout: float,  # noqa: ASYNC109 - the user's word, enforced here
) -> int:
    """Move a Gateway to namespace `target`; returns the exit code. Raises NoSuchObject, MoveFailed, ApiError."""
    origin = session.where()
    if origin == target:
        raise MoveFailed(f"the gateway {name} is in namespace {target} already")
    async with session.connected() as api:
        resource = await api.resource(API_VERSION, "Gateway")
        source, copy = await api.find(resource, name, origin), await api.find(resource, name, target)
        if copy is not None and mapping(copy, "metadata", "annotations").get(MOVED_FROM) != f"{origin}/{name}":
            raise MoveFailed(f"there is another Gateway {target}/{name}")
        if copy is None:
            copy = await _copied(api, resource, source, (origin, name), target, config, dry_run=dry_run)
        text = node_ports.of(copy) or "none"
        plan = f"Gateway {origin}/{name} goes to {target}: it is taken down, then made there with the node ports {text}"
        if dry_run:
            _answer(session, f"{plan}; an address of a load balancer may be another then", origin, copy, done=False)
            return 0
        progress(plan)
        end = time.monotonic() + timeout
        if source is not None:
            await _take_down(api, resource, source, end)
        moved = await _let_go(api, resource, copy, end)
    address = mapping(moved, "status").get("address") or "not known yet"
    _answer(session, f"Gateway {target}/{name} runs; address: {address}", origin, moved, done=True)
    return 0


def moved(source: Object, target: str) -> Object:
    """Return the paused copy of a Gateway for another namespace. Pure."""
    meta = source["metadata"]
    ports = node_ports.told(source.get("status") or {}) or node_ports.parse(node_ports.of(source) or "")[0]
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key not in _KEPT_OUT}
    annotations |= {PAUSED: "true", MOVED_FROM: f"{meta['namespace']}/{meta['name']}"}
    if ports:
        annotations[node_ports.ANNOTATION] = node_ports.text_of(ports)
    kept: Object = {"labels": meta["labels"]} if meta.get("labels") else {}
    owners = [one for one in meta.get("ownerReferences") or () if one.get("kind") == "Namespace"]
    if owners:
        kept["ownerReferences"] = owners
    return {
        "apiVersion": API_VERSION,
        "kind": "Gateway",
        "metadata": {"name": meta["name"], "namespace": target, "annotations": annotations, **kept},
        "spec": source.get("spec") or {},
    }


async def _copied(
    api: Api,
    resource: Resource,
    source: Object | None,
    key: tuple[str, str],
    target: str,
    config: Path | None,
    *,
    dry_run: bool,
) -> Object:
    """Write the copy, or only see whether it could be written, after the operator's own rules were asked."""
    if source is None:
        raise NoSuchObject(f"there is no Gateway {key[1]} in namespace {key[0]}: see -n")
    if requests_of(source).paused:
        raise MoveFailed(f"Gateway {'/'.join(key)} is paused, so nothing would take it down: remove the annotation")
    wanted = moved(source, target)
    settings, where = await gateway_settings(api, config)
    peers = [one for one in (await api.list(resource)).items if one["metadata"]["uid"] != source["metadata"]["uid"]]
    refusal = newcomer_verdict(wanted, peers, settings)
    if refusal is not None:
        raise MoveFailed(f"it would be refused there: {refusal.reason}: {refusal.message} (settings: {where})")
    query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
    made: Object = await api.raw("POST", resource.path(target), query=query, body=wanted)
    return made


async def _take_down(api: Api, resource: Resource, source: Object, end: float) -> None:
    """Delete the old Gateway and wait until the operator has taken all of it down. Raises MoveFailed."""
    meta = source["metadata"]
    try:
        await api.delete(resource, meta["name"], meta["namespace"], uid=meta["uid"])
    except NotFound:
        return
    while (left := await api.find(resource, meta["name"], meta["namespace"])) is not None:
        if left["metadata"]["uid"] != meta["uid"]:
            raise MoveFailed(f"somebody made a new Gateway {meta['namespace']}/{meta['name']}; delete it first")
        _hurry(end, f"{meta['namespace']}/{meta['name']} is still being taken down", condition_of(left, "Deployed"))
        await asyncio.sleep(_POLL)
    with contextlib.suppress(Forbidden):  # what was remembered for a next one there goes with this one
        await drop_memory(api, meta["namespace"], meta["name"])


async def _let_go(api: Api, resource: Resource, copy: Object, end: float) -> Object:
    """Let the operator bring the copy up and wait until it is deployed. Raises MoveFailed."""
    name, namespace = copy["metadata"]["name"], copy["metadata"]["namespace"]
    patch = {"metadata": {"annotations": {PAUSED: None}}}
    await api.merge_patch(resource, name, patch, namespace)
    while True:
        now = await api.get(resource, name, namespace)
        deployed = condition_of(now, "Deployed")
        if deployed.get("status") == "True" and mapping(now, "status").get("address"):
            return await api.merge_patch(resource, name, {"metadata": {"annotations": {MOVED_FROM: None}}}, namespace)
        _hurry(end, f"{namespace}/{name} isn't there yet", deployed)
        await asyncio.sleep(_POLL)


def _hurry(end: float, text: str, condition: Any) -> None:
    if time.monotonic() > end:
        said = f" ({condition['message']})" if condition.get("message") else ""
        raise MoveFailed(f"{text}{said}; is the operator running? The same command goes on from here")


def _answer(session: Session, text: str, origin: str, gateway: Object, *, done: bool) -> None:
    if not session.json:
        say(text)
        return
    meta = gateway["metadata"]
    ports = node_ports.parse(node_ports.of(gateway) or "")[0]
    say_json({"name": meta["name"], "from": origin, "to": meta["namespace"], "nodePorts": ports, "done": done})
