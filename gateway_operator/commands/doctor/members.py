"""Member clusters and policies: whom the operator can't reach, and whose requests don't go where they should.

Nothing is said where the kinds aren't there.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway_operator.commands.doctor.findings import Finding, Object, problem, title, warning
from gateway_operator.commands.doctor.scope import Scope
from gateway_operator.crds.conditions import condition_of
from gateway_operator.crds.traffic import API_VERSION, TrafficCondition, TrafficReason

AREA = "members"
_REMEDIES: dict[str, str] = {
    TrafficReason.KUBECONFIG_NOT_FOUND: "make the Secret that it names, or run gateway-operator join again",
    TrafficReason.KUBECONFIG_REFUSED: "write the credential itself into the kubeconfig, as gateway-operator join does",
    TrafficReason.UNAUTHORIZED: "run gateway-operator join again: it makes a new token",
    TrafficReason.FORBIDDEN: "run gateway-operator join again: it grants what is needed",
}
_OF_MEMBERS = (TrafficCondition.CONNECTED, TrafficCondition.CREDENTIAL_CURRENT)
_OF_POLICIES = {
    TrafficCondition.ACCEPTED: "mend the policy; kubectl explain clustertrafficpolicies.spec has the rules",
    TrafficCondition.RESOLVED_REFS: "correct the name, or add the MemberCluster or Service",
    TrafficCondition.PROGRAMMED: "see the gateway of its ingress class: gateway-operator explain tells more",
    TrafficCondition.BACKENDS_READY: "see the pods of its Services in the member clusters",
}


async def check(scope: Scope) -> list[Finding]:
    """Look at every MemberCluster and ClusterTrafficPolicy."""
    members = await scope.list(API_VERSION, "MemberCluster")
    return judge(members, await scope.list(API_VERSION, "ClusterTrafficPolicy"))


def judge(members: Sequence[Object], policies: Sequence[Object] = ()) -> list[Finding]:
    """Apply the rules. Pure."""
    found = []
    for member in members:
        for type_ in _OF_MEMBERS:
            if said := _false(member, type_):
                remedy = _REMEDIES.get(said[0], "check its address, network and credential")
                found.append(problem(AREA, title(member, "MemberCluster"), ": ".join(said), remedy))
                break  # the second only repeats the first
    for policy in policies:
        name = title(policy, "ClusterTrafficPolicy")
        if not condition_of(policy, TrafficCondition.ACCEPTED):
            text = "the operator hasn't looked at it"
            found.append(warning(AREA, name, text, "see whether an operator runs with clusters.enabled"))
        for type_, remedy in _OF_POLICIES.items():
            if said := _false(policy, type_):
                tell = warning if type_ is TrafficCondition.RESOLVED_REFS else problem
                found.append(tell(AREA, name, f"not {type_}: {': '.join(said)}", remedy))
    return found


def _false(obj: Object, type_: TrafficCondition) -> tuple[str, str] | None:
    """Return reason and message of a condition that doesn't hold."""
    condition = condition_of(obj, type_)
    if not condition or condition.get("status") != "False":
        return None
    return str(condition.get("reason")), str(condition.get("message"))
