"""The operator's rights: every rule that it needs, asked of the API server as the operator's own account.

The rules are those of the chart gateway-operator (a test keeps them equal): what the operator does itself, what its
charts install, and what gateways are granted, because the API server lets nobody grant what it doesn't have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway_operator.commands.doctor.findings import Finding, info, problem
from gateway_operator.commands.doctor.scope import Scope, together
from gateway_operator.errors import ApiError, KindNotServed

AREA = "rights"
_READ = ("get", "list", "watch")
_ALL = (*_READ, "create", "update", "patch", "delete")
_OPTIONAL = frozenset({"monitoring.coreos.com", "keda.sh", "cert-manager.io"})

# API group, resources, verbs
NEEDED: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("gateway.kubesphere.io", ("gateways", "nginxes"), _ALL),
    (
        "gateway.kubesphere.io",
        ("gateways/status", "nginxes/status", "gateways/finalizers", "nginxes/finalizers"),
        ("get", "update", "patch"),
    ),
    ("k8s.nginx.org", ("clustertrafficpolicies",), (*_READ, "update", "patch")),
    ("k8s.nginx.org", ("memberclusters",), _READ),
    (
        "k8s.nginx.org",
        ("clustertrafficpolicies/status", "memberclusters/status", "clustertrafficpolicies/finalizers"),
        ("get", "update", "patch"),
    ),
    ("apiextensions.k8s.io", ("customresourcedefinitions",), _READ),
    ("", ("namespaces",), _READ),
    ("", ("events",), ("create", "patch")),
    ("", ("configmaps", "secrets", "services", "serviceaccounts"), _ALL),
    ("apps", ("deployments", "daemonsets"), _ALL),
    ("autoscaling", ("horizontalpodautoscalers",), _ALL),
    ("policy", ("poddisruptionbudgets",), _ALL),
    ("networking.k8s.io", ("ingressclasses", "networkpolicies"), _ALL),
    ("rbac.authorization.k8s.io", ("roles", "rolebindings", "clusterroles", "clusterrolebindings"), _ALL),
    ("admissionregistration.k8s.io", ("validatingwebhookconfigurations",), _ALL),
    ("monitoring.coreos.com", ("servicemonitors", "prometheusrules"), _ALL),
    ("keda.sh", ("scaledobjects",), _ALL),
    ("cert-manager.io", ("issuers", "certificates"), _ALL),
    ("", ("endpoints", "nodes", "pods"), _READ),
    ("apps", ("replicasets",), _READ),
    ("discovery.k8s.io", ("endpointslices",), _ALL),
    ("networking.k8s.io", ("ingresses",), _READ),
    ("networking.k8s.io", ("ingresses/status",), ("get", "update", "patch")),
    ("coordination.k8s.io", ("leases",), ("get", "list", "watch", "create", "update", "patch")),
)


@dataclass(frozen=True)
class Right:
    """One thing that an account may or may not do."""

    group: str
    resource: str
    verb: str
    allowed: bool = True


@dataclass(frozen=True)
class RightsFacts:
    """The answers for one account; `error` says why there are none."""

    account: str
    answers: Sequence[Right] = ()
    error: str = ""


async def check(scope: Scope) -> list[Finding]:
    """Ask for every account."""
    answer = await scope.api.raw("GET", "/apis")
    served = {group["name"] for group in answer.get("groups") or []} | {""}
    accounts = dict.fromkeys(one.account for one in scope.operators)
    return judge([await _facts(scope, account, served) for account in accounts])


async def _facts(scope: Scope, account: str, served: set[str]) -> RightsFacts:
    wanted = [
        Right(group, resource, verb)
        for group, resources, verbs in NEEDED
        for resource in resources
        for verb in verbs
        if group in served or group not in _OPTIONAL
    ]
    try:
        return RightsFacts(account, await together(_ask(scope, account, right) for right in wanted))
    except (ApiError, KindNotServed) as error:
        return RightsFacts(account, error=str(error))


async def _ask(scope: Scope, account: str, right: Right) -> Right:
    resource, _, sub = right.resource.partition("/")
    attributes = {"group": right.group, "resource": resource, "subresource": sub, "verb": right.verb}
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{account.split(':')[2]}", "system:authenticated"]
    spec: dict[str, Any] = {"user": account, "groups": groups, "resourceAttributes": attributes}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = await scope.api.raw("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
    return Right(right.group, right.resource, right.verb, bool((answer.get("status") or {}).get("allowed")))


def judge(facts: Sequence[RightsFacts]) -> list[Finding]:
    """Say what is lacking, one line for each resource. Pure."""
    found = []
    for one in facts:
        if one.error:
            found.append(info(AREA, one.account, f"its rights can't be asked for: {one.error}"))
        lacking: dict[str, list[str]] = {}
        for right in one.answers:
            if not right.allowed:
                name = f"{right.resource}.{right.group}" if right.group else right.resource
                lacking.setdefault(name, []).append(right.verb)
        remedy = "upgrade the chart gateway-operator (rbac.create=true), or add the rule to the operator's ClusterRole"
        for name, verbs in lacking.items():
            found.append(problem(AREA, one.account, f"it may not {', '.join(verbs)} {name}", remedy))
    return found
