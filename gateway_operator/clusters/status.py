"""What the status of a MemberCluster and of a ClusterTrafficPolicy says. Pure.

Only conditions that are ours are returned, for server-side apply: another writer (of `Programmed`) keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway_operator.clusters.evaluation import PathOutcome, Place, PolicyOutcome
from gateway_operator.clusters.policies import DEFAULT, Problem
from gateway_operator.crds.conditions import set_condition, timestamp
from gateway_operator.crds.policy import MAX_RIVALS
from gateway_operator.crds.traffic import TrafficCondition, TrafficReason
from gateway_operator.traffic.shares import Share, State, percent

Status = dict[str, Any]
Verdict = tuple[bool | None, TrafficReason, str]
_SPOKEN = 3  # of many troubles so many are named
_STEADY_MILLISECONDS, _STEADY_FACTOR = 50, 2  # a latency that moves by less is no news


@dataclass(frozen=True)
class MemberFacts:
    """A member as it is now. `credential` judges the newest credential; `latency` is in seconds."""

    connected: Verdict
    synced: Verdict
    credential: Verdict
    place: Place = field(default_factory=Place)
    version: str = ""
    latency: float = 0.0
    digest: str = ""
    namespaces: int = 0
    services: int = 0
    endpoints: int = 0
    stale: bool = False
    last_contact: datetime | None = None


def member_status(obj: Mapping[str, Any], facts: MemberFacts, now: datetime) -> Status:
    """Return the status of a MemberCluster as it should be; `obj` has the one that it has."""
    old, generation = obj.get("status") or {}, obj["metadata"].get("generation")
    verdicts = {
        TrafficCondition.CONNECTED: facts.connected,
        TrafficCondition.SYNCED: facts.synced,
        TrafficCondition.CREDENTIAL_CURRENT: facts.credential,
    }
    result: Status = {
        "observedGeneration": generation,
        "conditions": _conditions(old, verdicts, generation, now),
        "namespaces": facts.namespaces,
        "services": facts.services,
        "endpoints": facts.endpoints,
        "message": facts.connected[2],
    }
    texts = {
        "version": facts.version,
        "region": facts.place.region,
        "zone": facts.place.zone,
        "network": facts.place.network,
        "credential": facts.digest,
    }
    result |= {name: text for name, text in texts.items() if text}
    if facts.version:
        result["latencyMilliseconds"] = _latency(old.get("latencyMilliseconds"), facts.latency)
    if facts.stale:
        result["stale"] = True
        if facts.last_contact:
            result["lastContactTime"] = timestamp(facts.last_contact)
    return result


def policy_status(
    obj: Mapping[str, Any],
    outcome: PolicyOutcome,
    now: datetime,
    programmed: Verdict | None = None,
    problems: Sequence[Problem] = (),
    contests: Sequence[tuple[str, str]] = (),
) -> Status:
    """Return the status of a ClusterTrafficPolicy as it should be.

    `programmed` is what gateways acknowledged; None while that isn't known: what was said last stays. `problems` are
    what gateways have against its paths; `contests` are the fields that somebody else wants, too, each with who.
    """
    old, generation = obj.get("status") or {}, outcome.policy.generation
    verdicts: dict[TrafficCondition, Verdict] = {
        TrafficCondition.ACCEPTED: _accepted((*outcome.policy.problems, *problems), contests),
        TrafficCondition.RESOLVED_REFS: _resolved(outcome),
    }
    if programmed is not None:
        verdicts[TrafficCondition.PROGRAMMED] = programmed
    verdicts[TrafficCondition.BACKENDS_READY] = _ready(outcome)
    wrong = next((verdict for verdict in verdicts.values() if verdict[0] is False), None)
    conditions = _conditions(old, verdicts, generation, now)
    if programmed is None:
        conditions += [c for c in old.get("conditions") or () if c.get("type") == TrafficCondition.PROGRAMMED]
    return {
        "observedGeneration": generation,
        "conditions": sorted(conditions, key=lambda item: str(item["type"])),
        "backends": [
            _backend(path, [who for where, who in contests if where == path.rule.where]) for path in outcome.paths
        ],
        "message": wrong[2] if wrong else f"{len(outcome.paths)} paths are served",
    }


def _conditions(
    old: Mapping[str, Any], verdicts: Mapping[TrafficCondition, Verdict], generation: int | None, now: datetime
) -> list[dict[str, Any]]:
    result = [item for item in old.get("conditions") or () if item.get("type") in verdicts]
    for type_, (status, reason, text) in verdicts.items():
        result = set_condition(result, type_, status, reason, text, generation, now)
    return sorted(result, key=lambda item: str(item["type"]))


def _accepted(found: Iterable[Problem], contests: Sequence[tuple[str, str]]) -> Verdict:
    problems = [problem for problem in found if problem.condition is TrafficCondition.ACCEPTED]
    if problems:
        return False, problems[0].reason, _spoken(str(problem) for problem in problems)
    text = "its rules are sound, and nobody older has its hosts and paths"
    younger = f"; wanted by younger ones, too: {_spoken(f'{where} by {who}' for where, who in contests)}"
    return True, TrafficReason.ACCEPTED, text + (younger if contests else "")


def _resolved(outcome: PolicyOutcome) -> Verdict:
    problems = [p for p in outcome.policy.problems if p.condition is TrafficCondition.RESOLVED_REFS]
    if problems:
        return False, problems[0].reason, _spoken(str(problem) for problem in problems)
    troubles = list(_unresolved(outcome))
    if troubles:
        return False, troubles[0][0], _spoken(text for _, text in troubles)
    return True, TrafficReason.RESOLVED, "every cluster, service and port that it names is there"


def _unresolved(outcome: PolicyOutcome) -> Iterable[tuple[TrafficReason, str]]:
    """Yield the references that lead nowhere, each with its field."""
    for path in outcome.paths:
        found = {part.cluster: part.found for part in path.parts}
        for share in path.split.shares:
            what = found.get(share.name)
            if share.state is State.NOT_FOUND:
                text = f"{path.rule.where}: there is no member cluster {share.name}"
                yield TrafficReason.CLUSTER_NOT_FOUND, text
            elif what is not None and what.reason:
                yield TrafficReason(what.reason), f"{path.rule.where}: {what.text}"


def _ready(outcome: PolicyOutcome) -> Verdict:
    silent = [path for path in outcome.paths if path.split.reason or path.rule.backend is None]
    if silent:
        reason = next((p.split.reason for p in silent if p.split.reason), TrafficReason.INVALID_BACKEND)
        return False, TrafficReason(reason), _spoken(f"{path.rule.where}: nobody answers" for path in silent)
    return True, TrafficReason.BACKENDS_READY, "every path has ready endpoints"


def _backend(path: PathOutcome, rivals: Sequence[str]) -> Status:
    rule = path.rule
    result: Status = {"host": rule.host, "path": rule.path}
    if rule.path_type != DEFAULT:
        result["pathType"] = rule.path_type
    if rule.backend:
        result["service"] = str(rule.backend.service)
    if path.split.reason:
        result["reason"] = path.split.reason
    if rivals:
        result["conflictsWith"] = [*rivals[:MAX_RIVALS]]
    result["clusters"] = [_cluster(share) for share in path.split.shares]
    return result


def _cluster(share: Share) -> Status:
    result: Status = {
        "name": share.name,
        "desired": percent(share.desired),
        "effective": percent(share.effective),
        "ready": share.ready,
        "state": str(share.state),
    }
    return result | ({"reason": str(share.reason)} if share.reason else {})


def _latency(old: int | None, seconds: float) -> int:
    new = round(seconds * 1000)
    if old is None:
        return new
    near = abs(new - old) < _STEADY_MILLISECONDS or max(new, old) < _STEADY_FACTOR * min(new, old)
    return old if near else new


def _spoken(texts: Iterable[str]) -> str:
    known: Sequence[str] = list(dict.fromkeys(texts))
    rest = len(known) - _SPOKEN
    return "; ".join(known[:_SPOKEN]) + (f"; and {rest} more" if rest > 0 else "")
