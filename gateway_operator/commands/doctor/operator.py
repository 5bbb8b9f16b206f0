"""The operator itself: is it there, does it run, does one replica lead, and what does it say of itself?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from gateway_operator.commands.doctor.findings import Finding, Object, age, info, lasted, problem, title, warning
from gateway_operator.commands.doctor.pods import pod_troubles, selector_of
from gateway_operator.commands.doctor.scope import Scope, together
from gateway_operator.commands.operators import Operator
from gateway_operator.errors import ApiError
from gateway_operator.settings import parse_address

AREA = "operator"
LEASE = "gateway-operator"
_RESTARTS = 3
_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True)
class PodFacts:
    """A pod of the operator; `says` is its /readyz, None when it can't be asked."""

    pod: Object
    says: dict[str, Any] | None = None
    silence: str = ""  # why it can't be asked


@dataclass(frozen=True)
class OperatorFacts:
    """One installation, its pods and its lease."""

    deployment: Object
    pods: Sequence[PodFacts] = ()
    lease: Object | None = None
    elects: bool = True
    lease_name: str = LEASE
    engine: bool = field(default=True)  # a watches.yaml is set


async def check(scope: Scope) -> list[Finding]:
    """Look at every installation."""
    facts = await together(_facts(scope, one) for one in scope.operators)
    return judge(facts, attended=sum(len(found) for found in scope.objects.values()), now=scope.now)


async def _facts(scope: Scope, one: Operator) -> OperatorFacts:
    pods = await scope.list("v1", "Pod", one.namespace, label_selector=selector_of(one.deployment))
    leases = await scope.api.resource("coordination.k8s.io/v1", "Lease")
    name = str(one.settings.get("leaseName") or LEASE)
    address = parse_address(str(one.settings.get("healthProbeBindAddress") or ":8081"))
    asked = await together(_ask(scope, pod, address[1] if address else None) for pod in pods)
    return OperatorFacts(
        deployment=one.deployment,
        pods=asked,
        lease=await scope.find(leases, name, str(one.settings.get("leaseNamespace") or one.namespace)),
        elects=one.settings.get("leaderElect") is not False,
        lease_name=name,
        engine=bool((one.settings.get("gateway") or {}).get("watchesPath")) or not one.settings,
    )


async def _ask(scope: Scope, pod: Object, port: int | None) -> PodFacts:
    """Ask a pod's /readyz through the API server, which answers for its nodes."""
    if port is None or (pod.get("status") or {}).get("phase") != "Running":
        return PodFacts(pod)
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}:{port}/proxy/readyz"
    try:
        answer = await scope.api.connection.request(
            "GET", path, query={}, body=None, headers={"Accept": "application/json"}, timeout=_TIMEOUT
        )
        said = json.loads(await answer.read())
    except (ApiError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return PodFacts(pod, silence=str(error) or type(error).__name__)
    if not isinstance(said, dict) or "ready" not in said:
        return PodFacts(pod, silence=str(said.get("message") if isinstance(said, dict) else said))
    return PodFacts(pod, said)


def judge(facts: Sequence[OperatorFacts], *, attended: int, now: float) -> list[Finding]:
    """Apply the rules; `attended` is the number of custom resources. Pure."""
    if not facts:
        text = f"no operator is installed, and {attended} object(s) wait for one" if attended else "none is installed"
        return [problem(AREA, "gateway-operator", text, "install the chart gateway-operator (docs/charts.md)")]
    found = [finding for one in facts for finding in _judge(one, now)]
    if len(facts) > 1:
        names = ", ".join(title(one.deployment, "Deployment") for one in facts)
        text = "more than one operator is installed; both may act on one release where they watch the same objects"
        found.append(warning(AREA, names, text, "uninstall one, or give each its own watchNamespaces or selectors"))
    return found


def _judge(one: OperatorFacts, now: float) -> list[Finding]:
    name = title(one.deployment, "Deployment")
    wanted = one.deployment["spec"].get("replicas", 1)
    ready = (one.deployment.get("status") or {}).get("readyReplicas", 0)
    found: list[Finding] = []
    if wanted == 0:
        found.append(problem(AREA, name, "it is scaled to 0: nothing is looked after", "scale it up"))
    elif ready == 0:
        found.append(problem(AREA, name, "no pod is ready: nothing is looked after", "see the pods below"))
    elif ready < wanted:
        found.append(warning(AREA, name, f"{ready} of {wanted} pods are ready", "see the pods below"))
    if not one.engine:
        text = "gateway.watchesPath is empty: the release engine is off"
        found.append(warning(AREA, name, text, "set gateway.watchesPath"))
    for pod in one.pods:
        found += _pod(pod)
    if one.elects and ready:
        found += _lease(one, name, now)
    return found


def _pod(one: PodFacts) -> list[Finding]:
    name = title(one.pod, "Pod")
    found = [problem(AREA, name, trouble.text, trouble.remedy) for trouble in pod_troubles(one.pod)]
    for status in (one.pod.get("status") or {}).get("containerStatuses") or []:
        if status.get("restartCount", 0) > _RESTARTS:
            last = ((status.get("lastState") or {}).get("terminated") or {}).get("reason") or "unknown"
            text = f"it was restarted {status['restartCount']} times, last because of {last}"
            remedy = "give it more memory" if last == "OOMKilled" else "see kubectl logs --previous"
            found.append(warning(AREA, name, text, remedy))
    if one.silence:
        found.append(info(AREA, name, f"its /readyz can't be asked through the API server: {one.silence}"))
    if one.says and one.says.get("leader", True):
        told = [str(text) for text in one.says.get("problems") or []]
        found += [problem(AREA, name, text, "the operator tries again by itself; mend the cause") for text in told]
        found += _rows(one.says, name, told)
        if one.says.get("reload"):
            text = f"the watches.yaml on disk is not in use: {one.says['reload']}"
            found.append(problem(AREA, name, text, "mend the file; it is read again by itself"))
    return found


def _rows(says: dict[str, Any], name: str, told: Sequence[str]) -> list[Finding]:
    """Find rows that wait for something: a missing CRD, or a decision."""
    found = []
    for row, details in (says.get("rows") or {}).items():
        trouble = details.get("problem") if isinstance(details, dict) else None
        if trouble and not any(str(trouble) in text for text in told):
            found.append(warning(AREA, name, f"row {row} is not served: {trouble}"))
    return found


def _lease(one: OperatorFacts, name: str, now: float) -> list[Finding]:
    remedy = "see the logs of its pods; rights on leases and the API server's answers are there"
    if one.lease is None:
        return [problem(AREA, name, f"nobody leads: there is no Lease {one.lease_name}", remedy)]
    spec = one.lease.get("spec") or {}
    lease = title(one.lease, "Lease")
    if not spec.get("holderIdentity"):
        return [problem(AREA, lease, "nobody holds it: no replica works", remedy)]
    late = age(spec.get("renewTime"), now)
    if late > 2 * float(spec.get("leaseDurationSeconds") or 15):
        text = f"{spec['holderIdentity']} renewed it {lasted(late)} ago, and nobody has taken it over"
        return [problem(AREA, lease, text, remedy)]
    return []
