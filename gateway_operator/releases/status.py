"""The status of a custom resource, built once at the end of a pass. Pure.

Conditions are the Helm operator's (Initialized, Deployed, ReleaseFailed, Irreconcilable), Accepted, and Ready, which
is only ever a summary: Ready is True when the release is deployed from this generation and everything in it is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway_operator.crds.conditions import set_condition
from gateway_operator.releases import names
from gateway_operator.releases.kinds import Notice, Refusal

MESSAGE_LIMIT = 1024
_SHOWN = 3
OWN_CONDITIONS = ("Initialized", "Accepted", "Deployed", "ReleaseFailed", "Irreconcilable", "Ready")


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
    ours = [*_basic(outcome), *(_special(c) for c in special), ready]
    old = (obj.get("status") or {}).get("conditions") or []
    types = {c.type for c in ours}
    conditions = [c for c in old if keep_others or c.get("type") in types]
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
    remarks = [ready.message, *(n.message for n in outcome.notices)]
    status["message"] = cut("; ".join(remarks))
    return status


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
    if deployed:
        text = f"release {deployed.name}, revision {deployed.revision}, chart {deployed.chart}"
        found.append(_Condition("Deployed", True, done, text))
    else:
        reason = failure.reason if failure else refusal.reason if refusal else "NotInstalled"
        found.append(_Condition("Deployed", False, reason, "no release is deployed"))
    found.append(_fault("ReleaseFailed", failure, done if deployed else "NotInstalled"))
    found.append(_fault("Irreconcilable", stuck, "Reconciled"))
    return found


def _fault(type_: str, fault: Fault | None, otherwise: str) -> _Condition:
    if fault:
        return _Condition(type_, True, fault.reason, cut(fault.message))
    return _Condition(type_, False, otherwise, "")


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
    if outcome.refusal:
        return Fault(outcome.refusal.reason, outcome.refusal.message)
    if outcome.irreconcilable or outcome.failure:
        return outcome.irreconcilable or outcome.failure
    if outcome.progress or not outcome.current:
        return Fault("Progressing", outcome.progress or "the release is not deployed yet")
    if outcome.awaited:
        rest = len(outcome.awaited) - _SHOWN
        more = f"; and {rest} more" if rest > 0 else ""
        return Fault("Progressing", f"waiting for {'; '.join(outcome.awaited[:_SHOWN])}{more}")
    for condition in special:
        if condition.get("blocksReady") and condition.get("status") != "True":
            return Fault(condition.get("reason") or "Progressing", condition.get("message") or condition["type"])
    return None


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
