"""The status of a custom resource, built once at the end of a pass. Pure.

Conditions are the Helm operator's (Initialized, Deployed, ReleaseFailed, Irreconcilable, Paused), Accepted, Drifted,
Held, and Ready, which is only ever a summary: Ready is True when the release is deployed from this generation and
everything in it is there. Paused and Held are there once they have been true.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway_operator.crds.conditions import set_condition
from gateway_operator.gateways.verdicts import Notice, Refusal
from gateway_operator.releases import names

MESSAGE_LIMIT = 1024
_SHOWN = 3
_PAUSED = "the annotation `paused` is true: nothing is installed, upgraded, repaired or uninstalled until it is removed"
OWN_CONDITIONS = (
    "Initialized", "Accepted", "Deployed", "ReleaseFailed", "Irreconcilable", "Drifted", "Paused", "Held", "Ready"
)  # fmt: skip
GUEST_CONDITIONS = frozenset({"Deployed", "ReleaseFailed", "Irreconcilable", "Drifted", "Paused", "Held"})
HANDLED = ("lastHandledReconcileAt", "lastHandledResetAt", "lastHandledForceAt")


@dataclass(frozen=True)
class Deployed:
    """The revision that Helm calls deployed."""

    name: str
    revision: int
    chart: str
    digest: str


@dataclass(frozen=True)
class Fault:
    """Why something failed: a CamelCase reason and a sentence."""

    reason: str
    message: str


@dataclass
class Outcome:
    """What a pass over one generation of an object found and did."""

    uid: str = ""
    generation: int = 1
    refusal: Refusal | None = None
    notices: tuple[Notice, ...] = ()
    deployed: Deployed | None = None
    current: bool = False  # deployed from the inputs of this generation
    failure: Fault | None = None
    irreconcilable: Fault | None = None
    progress: str = ""
    leaving: str = ""  # what a deletion waits for
    paused: bool = False
    held: str = ""  # why the release stays at an old revision
    attempt: dict[str, Any] | None = None  # the last failed run, for status.lastAttempt
    handled: dict[str, str] = field(default_factory=dict)  # tokens of annotations that were handled in this pass
    drifted: list[str] = field(default_factory=list)  # what differs and stays so, because the policy is to warn
    awaited: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Condition:
    type: str
    status: bool | None
    reason: str
    message: str


def build_status(obj: dict[str, Any], outcome: Outcome, *, now: datetime, keep_others: bool) -> dict[str, Any]:
    """Return the whole status that we answer for.

    `keep_others` carries conditions of other writers along, for CRDs whose conditions are no map by type.
    """
    generation = outcome.generation
    extra = dict(outcome.extra)
    special = [c for c in extra.pop("conditions", None) or [] if c.get("type") not in OWN_CONDITIONS]
    ready = _ready(outcome, special)
    before = obj.get("status") or {}
    old = before.get("conditions") or []
    seen = {c.get("type") for c in old}
    rare = [c for c in _rare(outcome) if c.status or c.type in seen]
    ours = [*_basic(outcome), *rare, *(_special(c) for c in special), ready]
    types = {c.type for c in ours}
    conditions = [c for c in old if c.get("type") in types or (keep_others and c.get("type") not in OWN_CONDITIONS)]
    for c in ours:
        conditions = set_condition(conditions, c.type, c.status, c.reason, c.message, generation, now)
    status: dict[str, Any] = {**extra, "observedGeneration": generation, "conditions": conditions}
    if outcome.deployed:
        d = outcome.deployed
        status["deployedRelease"] = {
            "name": d.name,
            "namespace": obj["metadata"].get("namespace", ""),
            "revision": d.revision,
            "chart": d.chart,
        }
        status["digest"] = d.digest
    if outcome.attempt:
        status["lastAttempt"] = outcome.attempt
    status |= {k: before[k] for k in HANDLED if before.get(k)} | outcome.handled
    remarks = [ready.message, *(n.message for n in outcome.notices)]
    status["message"] = cut("; ".join(remarks))
    return status


def as_guest(status: dict[str, Any]) -> dict[str, Any]:
    """Return of a status what says how the release is, for kinds whose status belongs to somebody else."""
    kept = {key: status[key] for key in ("deployedRelease", "digest", "lastAttempt", *HANDLED) if key in status}
    return {**kept, "conditions": [c for c in status["conditions"] if c["type"] in GUEST_CONDITIONS]}


def cut(text: str) -> str:
    """Shorten a message to what a status may hold."""
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"


def _basic(outcome: Outcome) -> list[_Condition]:
    refusal, failure, stuck, deployed = outcome.refusal, outcome.failure, outcome.irreconcilable, outcome.deployed
    done = "InstallSuccessful" if deployed and deployed.revision == 1 else "UpgradeSuccessful"
    found = [
        _Condition("Initialized", True, "Initialized", "the operator looks after this object"),
        _Condition(
            "Accepted", not refusal, refusal.reason if refusal else "Accepted", refusal.message if refusal else ""
        ),
    ]
    if outcome.leaving:
        done = "UninstallSuccessful"
        found.append(_Condition("Deployed", False, done, cut(outcome.leaving)))
    elif deployed:
        text = f"release {deployed.name}, revision {deployed.revision}, chart {deployed.chart}"
        found.append(_Condition("Deployed", True, done, text))
    else:
        reason = failure.reason if failure else refusal.reason if refusal else "NotInstalled"
        found.append(_Condition("Deployed", False, reason, "no release is deployed"))
    found.append(
        _fault("ReleaseFailed", failure, done if deployed or outcome.leaving else "NotInstalled", outcome.leaving)
    )
    found.append(_fault("Irreconcilable", stuck, "Reconciled"))
    drift = cut("; ".join(outcome.drifted))
    found.append(_Condition("Drifted", bool(drift), "DriftDetected" if drift else "NoDriftDetected", drift))
    return found


def _rare(outcome: Outcome) -> list[_Condition]:
    """Return the conditions that most objects never have."""
    paused, held = outcome.paused, outcome.held
    return [
        _Condition("Paused", paused, "PauseReconcileAnnotationTrue" if paused else "NotPaused", _PAUSED * paused),
        _Condition("Held", bool(held), "RolledBack" if held else "NotHeld", cut(held)),
    ]


def _fault(type_: str, fault: Fault | None, otherwise: str, text: str = "") -> _Condition:
    if fault:
        return _Condition(type_, True, fault.reason, cut(fault.message))
    return _Condition(type_, False, otherwise, cut(text))


def _special(condition: dict[str, Any]) -> _Condition:
    status = {"True": True, "False": False}.get(str(condition.get("status")))
    return _Condition(condition["type"], status, condition.get("reason") or "Unknown", condition.get("message") or "")


def _ready(outcome: Outcome, special: list[dict[str, Any]]) -> _Condition:
    blocker = _blocker(outcome, special)
    if blocker:
        return _Condition("Ready", False, blocker.reason, cut(blocker.message))
    return _Condition("Ready", True, "Ready", "deployed, and everything in it is there")


def _blocker(outcome: Outcome, special: list[dict[str, Any]]) -> Fault | None:
    """Find the first thing that keeps Ready from being True."""
    refusal, fault = outcome.refusal, outcome.irreconcilable or outcome.failure
    working = outcome.progress or not outcome.current
    candidates = (
        Fault("Paused", _PAUSED) if outcome.paused else None,
        Fault("Uninstalling", outcome.leaving) if outcome.leaving and not fault else None,
        Fault(refusal.reason, refusal.message) if refusal else None,
        fault,
        Fault("RolledBack", outcome.held) if outcome.held and not outcome.progress else None,
        Fault("Progressing", outcome.progress or "the release is not deployed yet") if working else None,
        _awaiting(outcome.awaited),
        *(_blocking(condition) for condition in special),
    )
    return next((c for c in candidates if c), None)


def _awaiting(awaited: list[str]) -> Fault | None:
    rest = len(awaited) - _SHOWN
    more = f"; and {rest} more" if rest > 0 else ""
    return Fault("Progressing", f"waiting for {'; '.join(awaited[:_SHOWN])}{more}") if awaited else None


def _blocking(condition: dict[str, Any]) -> Fault | None:
    if not condition.get("blocksReady") or condition.get("status") == "True":
        return None
    return Fault(condition.get("reason") or "Progressing", condition.get("message") or condition["type"])


def differs(obj: dict[str, Any], status: dict[str, Any]) -> bool:
    """Tell whether writing `status` would change anything."""
    old = obj.get("status") or {}
    if any(old.get(key) != value for key, value in status.items() if key != "conditions"):
        return True
    known = {c.get("type"): c for c in old.get("conditions") or []}
    if any(known.get(c["type"]) != c for c in status["conditions"]):
        return True
    owned = _owned(obj)
    gone = {c.get("type") for c in old.get("conditions") or []} - {c["type"] for c in status["conditions"]}
    return bool(owned.keys() - status.keys()) or any(
        f'k:{{"type":"{type_}"}}' in owned.get("conditions", {}) for type_ in gone
    )


def _owned(obj: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the fields of the status that the API server knows as ours."""
    for entry in obj["metadata"].get("managedFields") or []:
        if entry.get("manager") == names.STATUS_MANAGER and entry.get("subresource") == "status":
            fields = (entry.get("fieldsV1") or {}).get("f:status") or {}
            return {k.removeprefix("f:"): v for k, v in fields.items() if k != "."}
    return {}
