"""The custom resources: which are not ready and why, which are refused, held or left to themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway_operator.commands.doctor.findings import (
    Finding,
    Object,
    age,
    info,
    lasted,
    problem,
    title,
    warning,
)
from gateway_operator.commands.doctor.scope import Scope
from gateway_operator.crds.conditions import condition_of, is_true
from gateway_operator.releases.finalizer import has_finalizer

AREA = "objects"
_PATIENCE = 120.0  # seconds that an object may be on its way
_LEAVING = 600.0  # seconds that an uninstall may take
_FIGHT = 3600.0
_DETACH = "gateway-operator detach lets objects go and leaves what runs"


@dataclass(frozen=True)
class ObjectsFacts:
    """All custom resources by kind, Events about fights, and whether an operator runs."""

    objects: Mapping[str, Sequence[Object]]
    fights: Sequence[Object] = ()
    runs: bool = True


async def check(scope: Scope) -> list[Finding]:
    """Look at every object of the rows."""
    events = await scope.list("v1", "Event")
    fights = [e for e in events if e.get("reason") == "DriftFight"]
    objects = {ref.kind: found for ref, found in scope.objects.items()}
    return judge(ObjectsFacts(objects, fights, scope.runs), now=scope.now)


def judge(facts: ObjectsFacts, *, now: float) -> list[Finding]:
    """Apply the rules. Pure."""
    found: list[Finding] = []
    attached = 0
    for kind, objects in facts.objects.items():
        for obj in objects:
            attached += has_finalizer(obj) and not obj["metadata"].get("deletionTimestamp")
            found += _judge(obj, title(obj, kind), now, runs=facts.runs)
    if attached and not facts.runs:
        text = f"{attached} object(s) carry the operator's finalizer and no operator runs: a delete would wait for ever"
        found.append(warning(AREA, "finalizers", text, f"start the operator, or: {_DETACH}"))
    for event in facts.fights:
        since = age(event.get("lastTimestamp"), now)
        if since < _FIGHT:
            about = event.get("involvedObject") or {}
            name = f"{about.get('kind')} {about.get('namespace') or ''}/{about.get('name')}"
            remedy = "find out who writes the field; or leave it to them: driftPolicy, ignoreRules (docs/spec/drift.md)"
            found.append(problem(AREA, name, str(event.get("message")), remedy))
    return found


def _judge(obj: Object, name: str, now: float, *, runs: bool) -> list[Finding]:
    if obj["metadata"].get("deletionTimestamp"):
        return _leaving(obj, name, now, runs=runs)
    if is_true(obj, "Paused"):
        return [info(AREA, name, "it is paused: nothing is done for it", "take the annotation paused off")]
    accepted = condition_of(obj, "Accepted")
    if accepted.get("status") == "False":
        return [info(AREA, name, f"refused ({accepted.get('reason')}): {accepted.get('message')}")]
    found = []
    if (held := condition_of(obj, "Held")).get("status") == "True":
        found.append(info(AREA, name, str(held.get("message")), "gateway-operator rollback ... --resume"))
    if (drifted := condition_of(obj, "Drifted")).get("status") == "True":
        found.append(warning(AREA, name, f"it has drifted, and the policy is to warn: {drifted.get('message')}"))
    if obj.get("kind") == "ClusterTrafficPolicy":  # of what it does, the area members speaks
        failed = condition_of(obj, "ReleaseFailed")
        text = f"its mirror Services can't be made: {failed.get('message')}"
        return [problem(AREA, name, text, "the message names the cause")] if failed.get("status") == "True" else found
    return found or _readiness(obj, name, now)


def _readiness(obj: Object, name: str, now: float) -> list[Finding]:
    meta, ready = obj["metadata"], condition_of(obj, "Ready")
    if not ready:
        text = "the operator has not written its status"
        if age(meta.get("creationTimestamp"), now) < _PATIENCE:
            return [info(AREA, name, f"{text} yet")]
        return [problem(AREA, name, text, "is its row served? see the operator")]
    if ready.get("observedGeneration", meta.get("generation")) != meta.get("generation"):
        return [warning(AREA, name, "its status is about an older spec", "the operator is behind, or not running")]
    if ready.get("status") == "True":
        return []
    text = f"not ready ({ready.get('reason')}): {ready.get('message')}"
    if ready.get("reason") == "Progressing" and age(ready.get("lastTransitionTime"), now) < _PATIENCE:
        return [info(AREA, name, text)]
    return [problem(AREA, name, text, "the message names the cause")]


def _leaving(obj: Object, name: str, now: float, *, runs: bool) -> list[Finding]:
    since = age(obj["metadata"]["deletionTimestamp"], now)
    if not has_finalizer(obj):
        others = ", ".join(obj["metadata"].get("finalizers") or []) or "none"
        return [info(AREA, name, f"it is being deleted; finalizers of others: {others}")]
    if not runs:
        text = f"it has been waiting for {lasted(since)} to be deleted, and no operator runs to uninstall its release"
        return [problem(AREA, name, text, f"start the operator; or: {_DETACH}")]
    if since < _LEAVING:
        return [info(AREA, name, f"it is being uninstalled for {lasted(since)}")]
    message = (obj.get("status") or {}).get("message") or "no reason is told"
    text = f"it has been waiting for {lasted(since)} to be uninstalled: {message}"
    remedy = 'mend what the message names; or give up with the annotation gateway.kubesphere.io/force-release: "true"'
    return [problem(AREA, name, text, remedy)]
