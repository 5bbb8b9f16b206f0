"""Member clusters: nothing is said where the kind isn't there."""

from __future__ import annotations

from collections.abc import Sequence

from gateway_operator.commands.doctor.findings import Finding, Object, problem, title
from gateway_operator.commands.doctor.scope import Scope
from gateway_operator.crds.conditions import condition_of

AREA = "members"


async def check(scope: Scope) -> list[Finding]:
    """Look at every MemberCluster."""
    return judge(await scope.list("k8s.nginx.org/v1", "MemberCluster"))


def judge(members: Sequence[Object]) -> list[Finding]:
    """Apply the rules. Pure."""
    found = []
    for member in members:
        ready = condition_of(member, "Ready")
        if ready and ready.get("status") != "True":
            text = f"{ready.get('reason')}: {ready.get('message')}"
            found.append(problem(AREA, title(member, "MemberCluster"), text, "check its address and credentials"))
    return found
