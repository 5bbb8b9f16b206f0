"""The CRDs of our own kinds: are they there, ours, in our version, and without objects of an older one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway_operator.commands.doctor.findings import Finding, Object, info, problem, warning
from gateway_operator.commands.doctor.scope import Scope
from gateway_operator.crds.conditions import condition_of
from gateway_operator.releases.crds import PART_OF
from gateway_operator.releases.names import OWN_GROUPS

AREA = "crds"
_INSTALL = "install or upgrade the chart gateway-operator with crds.install=true"


@dataclass(frozen=True)
class CrdFacts:
    """A row's kind and the CRD behind it; `adopt` is the operator's setting adoptCrds."""

    kind: str
    group: str
    version: str
    crd: Object | None
    adopt: bool = False
    operator_version: str = ""


async def check(scope: Scope) -> list[Finding]:
    """Look at the CRD of every row."""
    crds = await scope.list("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    by_kind = {(c["spec"]["group"], c["spec"]["names"]["kind"]): c for c in crds}
    adopt = any(o.settings.get("adoptCrds") for o in scope.operators)
    labels = [o.deployment["metadata"].get("labels") or {} for o in scope.operators]
    version = next(
        (str(found["app.kubernetes.io/version"]) for found in labels if "app.kubernetes.io/version" in found), ""
    )
    return judge(
        [
            CrdFacts(ref.kind, ref.group, ref.version, by_kind.get((ref.group, ref.kind)), adopt, version)
            for ref in scope.refs
        ]
    )


def judge(facts: Sequence[CrdFacts]) -> list[Finding]:
    """Apply the rules. Pure."""
    return [finding for one in facts for finding in _judge(one)]


def _judge(one: CrdFacts) -> list[Finding]:
    what = f"{one.kind}.{one.group}"
    own = one.group in OWN_GROUPS
    if one.crd is None:
        remedy = _INSTALL if own else "install the CRD that its publisher ships"
        return [problem(AREA, what, "there is no CRD: no such object can exist", remedy)]
    name = f"CustomResourceDefinition {one.crd['metadata']['name']}"
    if one.crd["metadata"].get("deletionTimestamp"):
        text = "it is being deleted, and with it every object of this kind"
        return [problem(AREA, name, text, "let the objects' uninstalls finish, then install the CRD again")]
    established = condition_of(one.crd, "Established")
    if established and established.get("status") != "True":
        return [problem(AREA, name, f"it is not served: {established.get('message')}", _INSTALL)]
    return [*_versions(one, name), *(_labels(one, name) if own else [])]


def _versions(one: CrdFacts, name: str) -> list[Finding]:
    assert one.crd is not None  # noqa: S101
    versions = one.crd["spec"]["versions"]
    served = [v["name"] for v in versions if v.get("served")]
    stored = next((v["name"] for v in versions if v.get("storage")), "")
    found = []
    if one.version not in served:
        text = f"it serves {', '.join(served)}, and the row is for {one.version}"
        found.append(problem(AREA, name, text, _INSTALL))
    elif stored != one.version and one.group in OWN_GROUPS:
        text = f"it stores {stored}, and the row is for {one.version}: the row is not served"
        found.append(problem(AREA, name, text, f"{_INSTALL}, or set adoptCrds to use it as it is"))
    older = sorted(set((one.crd.get("status") or {}).get("storedVersions") or []) - {stored})
    if older:
        names = ", ".join(older)
        text = f"objects may still be stored as {names}"
        remedy = (
            f"write each object once (kubectl get | kubectl replace), then take {names} out of status.storedVersions"
        )
        found.append(warning(AREA, name, text, remedy))
    return found


def _labels(one: CrdFacts, name: str) -> list[Finding]:
    assert one.crd is not None  # noqa: S101
    labels = one.crd["metadata"].get("labels") or {}
    if labels.get(PART_OF[0]) != PART_OF[1]:
        if one.adopt:
            return [info(AREA, name, "somebody else installed it; adoptCrds lets the operator use it")]
        text = f"another installation made it (no label {PART_OF[0]}={PART_OF[1]}): the row is not served"
        return [problem(AREA, name, text, "see docs/take-over.md: helm install --take-ownership, or set adoptCrds")]
    theirs = labels.get("app.kubernetes.io/version", "")
    if one.operator_version and theirs and theirs != one.operator_version:
        text = f"it is of version {theirs}, the operator of {one.operator_version}"
        return [warning(AREA, name, text, _INSTALL)]
    return []
