"""What of a release may differ from its chart: the policy, and rules for fields that others own.

ignoreRules:
- target: {group: apps, kind: Deployment, name: web}     # each part may be absent; absent means any
  paths: ["/spec/replicas", "/metadata/annotations/team.example.com~1*"]     # absent: the whole object
- managers: [my-tool, "team-*"]     # what these field managers own is left alone, as a controller's
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from gateway_operator.releases import names
from gateway_operator.releases.kinds import group_of

TARGET_FIELDS = ("group", "kind", "namespace", "name")
POLICY_ANNOTATION = f"{names.GROUP}/drift-policy"


class DriftPolicy(Enum):
    """What to do about an object that differs from its chart."""

    REVERT = "revert"
    WARN = "warn"
    IGNORE = "ignore"


@dataclass(frozen=True)
class IgnoreRule:
    """Fields that a repair leaves alone. None means any; neither paths nor managers means the whole object."""

    paths: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()  # patterns, as of a shell
    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None

    def concerns(self, obj: dict[str, Any]) -> bool:
        """Tell whether the rule is for this object."""
        meta = obj["metadata"]
        found = {
            "group": group_of(obj),
            "kind": obj["kind"],
            "namespace": meta.get("namespace") or "",
            "name": meta["name"],
        }
        return all(getattr(self, part) in {None, value} for part, value in found.items())

    @property
    def whole(self) -> bool:
        """True when the object is left alone as a whole."""
        return not self.paths and not self.managers


@dataclass(frozen=True)
class Terms:
    """Under which terms the objects of one release are repaired; parts of it may have a policy of their own."""

    policy: DriftPolicy = DriftPolicy.REVERT
    rules: tuple[IgnoreRule, ...] = ()

    def policy_for(self, wanted: dict[str, Any], live: dict[str, Any] | None) -> DriftPolicy:
        """Return the policy of one object: its own annotation's, its chart's, or that of the release.

        `live` may be None, or metadata alone.
        """
        if any(rule.whole and rule.concerns(wanted) for rule in self.rules):
            return DriftPolicy.IGNORE
        for obj in (live, wanted):
            own = annotated_policy(obj) if obj is not None else None
            if own is not None:
                return own
        return self.policy

    def rules_for(self, wanted: dict[str, Any]) -> tuple[IgnoreRule, ...]:
        """Return the rules that concern one object."""
        return tuple(rule for rule in self.rules if rule.concerns(wanted))


def annotated_policy(obj: dict[str, Any]) -> DriftPolicy | None:
    """Return what an object's annotation asks for; None where there is none that can be read."""
    value = (obj["metadata"].get("annotations") or {}).get(POLICY_ANNOTATION)
    try:
        return DriftPolicy(str(value).strip().lower())
    except ValueError:
        return None


def parse_policy(value: Any) -> DriftPolicy:
    """Read a policy. Raises ValueError."""
    try:
        return DriftPolicy(value)
    except ValueError:
        words = ", ".join(p.value for p in DriftPolicy)
        raise ValueError(f"must be one of {words}, not {value!r}") from None


def parse_ignore_rules(value: Any) -> tuple[IgnoreRule, ...]:
    """Read `ignoreRules`. Raises ValueError that names the entry."""
    if not isinstance(value, list):
        raise ValueError("must be a list of {target, paths, managers}")  # noqa: TRY004 - callers know one error
    return tuple(_rule(entry, number) for number, entry in enumerate(value, start=1))


def _rule(entry: Any, number: int) -> IgnoreRule:
    where = f"entry {number}"
    if not isinstance(entry, dict) or not entry or not set(entry) <= {"target", "paths", "managers"}:
        raise ValueError(f"{where}: must be a map with target, paths, managers")
    target = entry.get("target") or {}
    if not isinstance(target, dict) or not set(target) <= set(TARGET_FIELDS):
        raise ValueError(f"{where}: target has {', '.join(TARGET_FIELDS)} only")
    for part, text in target.items():
        if not isinstance(text, str):
            raise ValueError(f"{where}: target.{part} must be text, not {text!r}")  # noqa: TRY004
    paths, managers = _texts(entry.get("paths")), _texts(entry.get("managers"))
    if paths is None or not all(p.startswith("/") for p in paths):
        raise ValueError(f"{where}: paths must be JSON pointers, as /spec/replicas")
    if managers is None or not all(managers):
        raise ValueError(f"{where}: managers must be names of field managers, as my-tool")
    if paths and managers:
        raise ValueError(f"{where}: has paths and managers; make two entries of it")
    return IgnoreRule(paths=paths, managers=managers, **target)


def _texts(value: Any) -> tuple[str, ...] | None:
    items = value or []
    return tuple(items) if isinstance(items, list) and all(isinstance(i, str) for i in items) else None
