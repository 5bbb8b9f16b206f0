"""What differs between the operators that the suite can run: their command line, and a few names.

The checks are the same for all; a test that needs a name which an operator doesn't have is not applicable to it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

OURS_PREFIX = "gateway.kubesphere.io"
PEER_PREFIX = "helm.sdk.operatorframework.io"


@dataclass(frozen=True)
class Launch:
    """How one process is started; addresses are host:port, periods Go durations."""

    watches: Path
    metrics: str
    health: str
    period: str = "10m"
    workers: int = 4
    selected: tuple[str, ...] = ()  # namespaces to watch; none: all
    lease: tuple[str, str] | None = None  # namespace and name; None: no leader election
    suppress: bool = False  # hide the values of overrides in Events


@dataclass(frozen=True)
class Profile:
    """One operator as the suite sees it."""

    name: str
    program: tuple[str, ...]
    finalizer: str
    override_event: str
    runs_helm: bool  # as a program, which a test can put another one in front of
    peer: bool = False
    paused: str = ""  # annotation; empty: there is none
    drift_policy: str = ""
    reset: tuple[str, str] = ("", "")  # annotation and the field of the status that echoes it
    force: tuple[str, str] = ("", "")
    give_up: str = ""
    no_lease: tuple[str, ...] = field(default=())

    def command(self, launch: Launch) -> list[str]:
        """Return the command line of a process."""
        return [*self.program, *self.arguments(launch)]

    def arguments(self, launch: Launch) -> list[str]:
        """Return what follows the program."""
        flags = [
            *("--watches-file", str(launch.watches)),
            *("--metrics-bind-address", launch.metrics),
            *("--health-probe-bind-address", launch.health),
            *("--reconcile-period", launch.period),
            *("--max-concurrent-reconciles", str(launch.workers)),
        ]
        if launch.suppress:
            flags.append("--suppress-override-values")
        if launch.lease:
            namespace, name = launch.lease
            flags += ["--leader-elect", "--leader-election-id", name, "--leader-election-namespace", namespace]
        else:
            flags += self.no_lease
        return ["run", *flags]

    def annotation(self, name: str) -> str:
        """Return the name of an annotation that every Helm operator knows."""
        return f"{PEER_PREFIX}/{name}"


OURS = Profile(
    name="gateway-operator",
    program=(sys.executable, "-m", "gateway_operator"),
    finalizer=f"{OURS_PREFIX}/helm-release",
    override_event="ValueOverridden",
    runs_helm=True,
    paused=f"{OURS_PREFIX}/paused",
    drift_policy=f"{OURS_PREFIX}/drift-policy",
    reset=(f"{OURS_PREFIX}/reset-at", "lastHandledResetAt"),
    force=(f"{OURS_PREFIX}/force-at", "lastHandledForceAt"),
    give_up=f"{OURS_PREFIX}/force-release",
    no_lease=("--no-leader-elect",),
)


def helm_operator(program: str) -> Profile:
    """Return the profile of operator-sdk's helm-operator, whose binary is `program`."""
    return Profile(
        name="helm-operator",
        program=(program,),
        finalizer=f"{PEER_PREFIX}/uninstall-release",
        override_event="OverrideValuesInUse",
        runs_helm=False,
        peer=True,
    )


def chosen(operator: str | None) -> Profile:
    """Return the profile of an operator's command; None is ours."""
    return helm_operator(operator) if operator else OURS
