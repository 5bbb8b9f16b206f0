"""What people ask of the engine by annotations of a custom resource, read in one place so that every part agrees.

All names work under this operator's prefix and under the Helm operator's, whose users bring theirs along; ours wins
where both are set. A value that can't be read changes nothing: the default holds, and a notice says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway_operator.gateways.verdicts import Notice
from gateway_operator.releases.drift_rules import DriftPolicy, parse_policy
from gateway_operator.releases.durations import parse_duration
from gateway_operator.releases.names import GROUP

OURS = f"{GROUP}/"
PEERS = "helm.sdk.operatorframework.io/"
TEXT_LIMIT = 256  # of a release description: Helm refuses longer ones
PAUSED = "paused"

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})  # as Go's ParseBool, which the Helm operator uses
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_T = TypeVar("_T")


@dataclass(frozen=True)
class Requests:
    """The annotations of one custom resource, parsed.

    Tokens (`*_at`) are any text; each new one is handled once. Durations are seconds.
    """

    upgrade_force: bool = False
    rollback_force: bool = False
    uninstall_wait: bool = False
    install_disable_hooks: bool = False
    upgrade_disable_hooks: bool = False
    uninstall_disable_hooks: bool = False
    install_description: str = ""
    upgrade_description: str = ""
    uninstall_description: str = ""
    reconcile_period: float | None = None  # None: the row's; 0: no periodic pass
    paused: bool = False
    drift_policy: DriftPolicy | None = None  # None: the row's
    reconcile_at: str = ""
    reset_at: str = ""
    force_at: str = ""
    rollback_to: int | None = None
    force_release: bool = False
    notices: tuple[Notice, ...] = ()

    def period(self, row: float | None, default: float) -> float:
        """Return the seconds between two periodic passes, 0 for none: the annotation's, the row's or the default."""
        return next(p for p in (self.reconcile_period, row, default) if p is not None)


def parse_requests(annotations: Mapping[str, str] | None) -> Requests:
    """Read the annotations of an object; what can't be read becomes a notice."""
    reader = _Reader(annotations or {})
    return Requests(
        upgrade_force=reader.boolean("upgrade-force"),
        rollback_force=reader.boolean("rollback-force"),
        uninstall_wait=reader.boolean("uninstall-wait"),
        install_disable_hooks=reader.boolean("install-disable-hooks"),
        upgrade_disable_hooks=reader.boolean("upgrade-disable-hooks"),
        uninstall_disable_hooks=reader.boolean("uninstall-disable-hooks"),
        install_description=reader.description("install-description"),
        upgrade_description=reader.description("upgrade-description"),
        uninstall_description=reader.description("uninstall-description"),
        reconcile_period=reader.parsed("reconcile-period", parse_duration),
        paused=reader.boolean(PAUSED),
        drift_policy=reader.parsed("drift-policy", lambda text: parse_policy(text.strip().lower())),
        reconcile_at=reader.text("reconcile-at"),
        reset_at=reader.text("reset-at"),
        force_at=reader.text("force-at"),
        rollback_to=reader.parsed("rollback-to", _revision),
        force_release=reader.boolean("force-release"),
        notices=tuple(reader.notices),
    )


def requests_of(obj: Mapping[str, Any]) -> Requests:
    """Return what an object's annotations ask for."""
    return parse_requests(obj["metadata"].get("annotations"))


def parse_bool(text: str) -> bool:
    """Read a boolean as Go's ParseBool does. Raises ValueError."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def _revision(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is no revision: write the number of one that `helm history` shows")
    return int(text)


class _Reader:
    """Looks names up under both prefixes, and collects what it can't read."""

    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._annotations = annotations
        self.notices: list[Notice] = []

    def _find(self, name: str) -> tuple[str, str]:
        """Return key and value; both empty when there is none."""
        for key in (f"{OURS}{name}", f"{PEERS}{name}"):
            if (value := self._annotations.get(key)) is not None:
                return key, str(value)
        return "", ""

    def text(self, name: str) -> str:
        return self._find(name)[1]

    def parsed(self, name: str, parse: Callable[[str], _T]) -> _T | None:
        key, value = self._find(name)
        if not value:
            return None
        try:
            return parse(value)
        except ValueError as error:
            self.notices.append(Notice("AnnotationIgnored", f"the annotation {key} is ignored: {error}"))
            return None

    def boolean(self, name: str) -> bool:
        return bool(self.parsed(name, parse_bool))

    def description(self, name: str) -> str:
        return self.text(name)[:TEXT_LIMIT]
