"""What gateways say of a policy: is it what they serve, did somebody else win its place? Pure.

A policy counts as served by what its pods have acknowledged, never by what was sent. They acknowledge whole configs;
a policy that is the same in an older one is served all the same, so that a change of one says nothing of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway_operator.clusters.policies import Policy, Problem
from gateway_operator.clusters.status import Verdict
from gateway_operator.crds.traffic import TrafficCondition, TrafficReason
from gateway_operator.traffic import config as split
from gateway_operator.traffic.gateways import Assignment, Gateway, Key, Quarantined

_KEPT = 20  # configs of a gateway that are remembered
_SHOWN = 3


@dataclass(frozen=True)
class PodReport:
    """What a gateway's pod says. `digest` None: nothing yet; `error` is why. `problems` are (policy, field, text).

    `contests` are (policy, field, who wants it, too, and doesn't get it); `quarantine` None: its version doesn't tell.
    """

    name: str
    ready: bool = True
    digest: str | None = None
    problems: tuple[tuple[str, str, str], ...] = ()
    error: str = ""
    contests: tuple[tuple[str, str, str], ...] = ()
    quarantine: Quarantined | None = None


class Issued:
    """The configs that gateways were told lately, by their digests."""

    def __init__(self) -> None:
        self._known: dict[Key, dict[str, Mapping[Key, split.Policy]]] = {}

    def note(self, assignments: Mapping[Key, Assignment]) -> None:
        """Remember what gateways are told now."""
        for key in self._known.keys() - assignments.keys():
            del self._known[key]
        for key, assigned in assignments.items():
            known = self._known.setdefault(key, {})
            if assigned.config and assigned.digest not in known:
                known[assigned.digest] = {policy.key: policy for policy in assigned.config.policies}
                for old in list(known)[:-_KEPT]:
                    del known[old]

    def policy(self, gateway: Key, digest: str, key: Key) -> split.Policy | None:
        """Return a policy as a gateway was told it."""
        return self._known.get(gateway, {}).get(digest, {}).get(key)


def programmed(
    policy: Policy,
    gateways: Iterable[Gateway],
    assignments: Mapping[Key, Assignment],
    reports: Mapping[Key, Sequence[PodReport]],
    issued: Issued,
) -> Verdict | None:
    """Judge a policy by the pods of all gateways that serve it; None while too little is known."""
    serving = [gateway for gateway in gateways if gateway.serves(policy.namespace, policy.ingress_class)]
    if not serving:
        what = f"the ingress class {policy.ingress_class}" if policy.ingress_class else "policies without a class"
        return False, TrafficReason.NO_GATEWAY, f"no gateway of this operator serves {what} in {policy.namespace}"
    told = []
    for gateway in serving:
        assigned = assignments.get(gateway.key, Assignment())
        if policy.key in assigned.left_out:
            text = f"the policies of gateway {gateway} are more than a ConfigMap holds, and this is one of the newest"
            return False, TrafficReason.CONFIG_TOO_LARGE, text
        if assigned.config and issued.policy(gateway.key, assigned.digest, policy.key):
            told.append((gateway, assigned.digest))
    if not told:
        return False, TrafficReason.CONFLICTED, "no path is left for it: others have them all, or all are refused"
    pods = 0
    for gateway, digest in told:
        verdict, count = _at(policy.key, gateway, digest, reports.get(gateway.key, ()), issued)
        pods += count
        if verdict != _SERVED:
            return verdict
    return True, TrafficReason.PROGRAMMED, f"{pods} pods of {', '.join(str(gateway) for gateway, _ in told)} serve it"


_SERVED: Verdict = (True, TrafficReason.PROGRAMMED, "")


def _at(
    policy: Key, gateway: Gateway, digest: str, reports: Sequence[PodReport], issued: Issued
) -> tuple[Verdict | None, int]:
    ready = [report for report in reports if report.ready]
    if not ready:
        return (False, TrafficReason.GATEWAY_NOT_READY, f"gateway {gateway} has no ready pod"), 0
    wanted = issued.policy(gateway.key, digest, policy)
    late = [r for r in ready if not _has(r, wanted, gateway.key, digest, policy, issued)]
    if not late:
        return _SERVED, len(ready)
    if any(report.digest is None and not report.error for report in late):
        return None, 0
    more = f" and {len(late) - _SHOWN} more" if len(late) > _SHOWN else ""
    who = ", ".join(r.name + (f" ({r.error})" if r.error else "") for r in late[:_SHOWN])
    return (False, TrafficReason.PENDING, f"gateway {gateway}: not acknowledged yet by {who}{more}"), 0


def _has(
    report: PodReport, wanted: split.Policy | None, gateway: Key, digest: str, policy: Key, issued: Issued
) -> bool:
    if report.digest == digest:
        return True
    return wanted is not None and issued.policy(gateway, report.digest or "", policy) == wanted


def problems_of(policy: Key, reports: Iterable[PodReport]) -> tuple[Problem, ...]:
    """Return what pods have against a policy's paths: an older Ingress has them."""
    name = "/".join(policy)
    found = {(where, text) for report in reports if report.ready for who, where, text in report.problems if who == name}
    return tuple(
        Problem(where, TrafficReason.CONFLICTED, text, TrafficCondition.ACCEPTED) for where, text in sorted(found)
    )


def contests_of(policy: Policy, reports: Iterable[PodReport]) -> tuple[tuple[str, str], ...]:
    """Return the fields that a policy has and somebody else wants, too, each with who: policies and Ingresses."""
    name = "/".join(policy.key)
    found = {(where, by) for report in reports if report.ready for who, where, by in report.contests if who == name}
    return (*policy.contests, *sorted(found - set(policy.contests)))


def quarantines_of(
    reports: Mapping[Key, Sequence[PodReport]], before: Mapping[Key, Quarantined]
) -> dict[Key, Quarantined]:
    """Return whom the pods of each gateway leave out, by the one that leaves out most; no word is no news.

    All see the same Ingresses; they differ for as long as one has looked at them and another hasn't.
    """
    found = {}
    for key, pods in reports.items():
        told = [pod.quarantine for pod in pods if pod.ready and pod.quarantine is not None]
        most = max(told, key=lambda one: (one.count, one.named), default=before.get(key))
        if most is not None:
            found[key] = most
    return found
