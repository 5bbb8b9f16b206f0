"""Conditions of a status: their types and reasons in one place, and the one rule by which a condition changes.

`lastTransitionTime` moves only when the status does, and conditions of other owners are never touched; both are what
`kubectl wait` and dashboards rely on.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

MAX_MESSAGE_LENGTH = 2048


class Condition(enum.StrEnum):
    """The types of conditions that the kinds of this group have."""

    READY = "Ready"  # the summary: accepted, deployed, replicas available, configuration verified
    ACCEPTED = "Accepted"  # the rules of scope, class and values allow it
    INITIALIZED = "Initialized"  # the four of the Helm operator
    DEPLOYED = "Deployed"
    RELEASE_FAILED = "ReleaseFailed"
    IRRECONCILABLE = "Irreconcilable"
    ADDRESS_ASSIGNED = "AddressAssigned"  # there is an address to send traffic to
    INGRESSES_SERVED = "IngressesServed"  # nginx refuses none of them


class Reason(enum.StrEnum):
    """Why a condition is what it is; users match on these words, so none is ever renamed."""

    ACCEPTED = "Accepted"
    # refusals of a Gateway
    SCOPE_FORBIDDEN = "ScopeForbidden"
    CLUSTER_GATEWAY_EXISTS = "ClusterGatewayExists"
    PROJECT_GATEWAY_EXISTS = "ProjectGatewayExists"
    INGRESS_CLASS_TAKEN = "IngressClassTaken"
    DEFAULT_CLASS_TAKEN = "DefaultClassTaken"
    VALUES_FORBIDDEN = "ValuesForbidden"
    TARGET_FORBIDDEN = "TargetForbidden"
    CONFIG_INVALID = "ConfigInvalid"
    SPEC_INVALID = "SpecInvalid"
    # remarks
    UNKNOWN_CONFIG_KEY = "UnknownConfigKey"
    CONFIG_KEY_IGNORED = "ConfigKeyIgnored"
    VALUE_OVERRIDDEN = "ValueOverridden"
    FIELD_IGNORED = "FieldIgnored"
    POLICIES_LEFT_OUT = "PoliciesLeftOut"
    # addresses
    ADDRESS_KNOWN = "AddressKnown"
    LOAD_BALANCER_PENDING = "LoadBalancerPending"
    NO_SERVICE = "NoService"
    NOT_DEPLOYED = "NotDeployed"
    # what pods of gateways say
    ALL_SERVED = "AllServed"
    INGRESSES_LEFT_OUT = "IngressesLeftOut"


def set_condition(
    conditions: Sequence[Mapping[str, Any]],
    type_: str,
    status: bool | None,  # noqa: FBT001  (the three states of a condition; None is Unknown)
    reason: str,
    message: str,
    generation: int | None,
    now: datetime,
) -> list[dict[str, Any]]:
    """Return the conditions with one of them set; all others stay as they are, and so does the order."""
    state = "Unknown" if status is None else str(status)
    changed: dict[str, Any] = {"type": str(type_), "status": state, "reason": str(reason), "message": _cut(message)}
    if generation is not None:
        changed["observedGeneration"] = generation
    old = find_condition(conditions, type_)
    kept = old.get("lastTransitionTime") if old and old.get("status") == state else None
    changed["lastTransitionTime"] = kept or timestamp(now)
    if old is None:
        return [*map(dict, conditions), changed]
    return [changed if item.get("type") == type_ else dict(item) for item in conditions]


def drop_condition(conditions: Sequence[Mapping[str, Any]], type_: str) -> list[dict[str, Any]]:
    """Return the conditions without one of them."""
    return [dict(item) for item in conditions if item.get("type") != type_]


def find_condition(conditions: Sequence[Mapping[str, Any]], type_: str) -> Mapping[str, Any] | None:
    """Return the condition of a type, or None."""
    return next((item for item in conditions if item.get("type") == type_), None)


def condition_of(obj: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """Return a condition from the status of any object, or an empty one."""
    return find_condition((obj.get("status") or {}).get("conditions") or [], type_) or {}


def is_true(obj: Mapping[str, Any], type_: str) -> bool:
    """Tell whether a condition of any object is True."""
    return bool(condition_of(obj, type_).get("status") == "True")


def timestamp(now: datetime) -> str:
    """Write a time as Kubernetes does: UTC, whole seconds, Z."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cut(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE_LENGTH else message[: MAX_MESSAGE_LENGTH - 3] + "..."
