"""The API server: does it answer, and is it new enough?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway_operator.commands.doctor.findings import Finding, problem, warning
from gateway_operator.errors import ApiError
from gateway_operator.kube import Api

AREA = "cluster"
OLDEST = (1, 25)


@dataclass(frozen=True)
class ClusterFacts:
    """Where the API server is, and its version or why it doesn't answer."""

    host: str
    version: str = ""
    error: str = ""


async def look(api: Api) -> ClusterFacts:
    """Ask for the version."""
    try:
        answer = await api.raw("GET", "/version")
    except ApiError as error:
        return ClusterFacts(api.connection.host, error=str(error))
    return ClusterFacts(api.connection.host, str(answer.get("gitVersion") or ""))


def judge(facts: ClusterFacts) -> list[Finding]:
    """Apply the rules. Pure."""
    if facts.error:
        return [problem(AREA, facts.host, facts.error, "check the kubeconfig, the network and the API server")]
    numbers = re.match(r"v(\d+)\.(\d+)", facts.version)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return [warning(AREA, facts.host, f"Kubernetes {facts.version} is older than {oldest}", "upgrade the cluster")]
    return []
