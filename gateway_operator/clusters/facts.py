"""What is known of a member, put together for its status. Pure, but for reading the links' state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway_operator.clusters.connection import Connector, Link
from gateway_operator.clusters.evaluation import PolicyOutcome
from gateway_operator.clusters.members import Definition
from gateway_operator.clusters.status import MemberFacts, Verdict
from gateway_operator.clusters.store import MemberView
from gateway_operator.crds.traffic import TrafficReason


def facts_of(definition: Definition, link: Link, view: MemberView, used: tuple[int, int]) -> MemberFacts:
    """Return a member as it is now; `used` counts the Services and ready endpoints that policies use."""
    current = link.current
    place = definition.place
    if current is None:
        reason, text = link.refused or (TrafficReason.CONNECTING, "not asked yet")
        missing: Verdict = (False, TrafficReason.NOT_SYNCED, "nothing could be read")
        return MemberFacts((False, reason, text), missing, (False, reason, text), place, stale=view.stale)
    health = current.health
    connected: Verdict = (health.connected, health.reason, health.text)
    if health.connected and (hindered := current.error()):
        connected = (True, TrafficReason.CONNECTED, f"the API server answers, but: {hindered}")
    return MemberFacts(
        connected=connected,
        synced=_synced(current, view),
        credential=_newest(link),
        place=place,
        version=health.version,
        latency=health.latency,
        digest=link.digest,
        namespaces=len(current.wanted),
        services=used[0],
        endpoints=used[1],
        stale=health.connected is False,
        last_contact=health.seen_at,
    )


def used_by(outcomes: Iterable[PolicyOutcome]) -> Mapping[str, tuple[int, int]]:
    """Return how many Services and ready endpoints of each cluster policies use."""
    services: dict[str, dict[tuple[str, str], int]] = {}
    for outcome in outcomes:
        for path in outcome.paths:
            backend = path.rule.backend
            for part in path.parts if backend else ():
                if backend and part.found and part.found.port:
                    key = (backend.service.namespace, backend.service.name)
                    services.setdefault(part.cluster, {})[key] = len(part.found.addresses)
    return {name: (len(found), sum(found.values())) for name, found in services.items()}


def _synced(current: Connector, view: MemberView) -> Verdict:
    missing = sorted(current.wanted - view.synced)
    if missing:
        text = f"not read yet: namespace {', '.join(missing[:3])}; what the centre has of it stays as it is"
        return False, TrafficReason.NOT_SYNCED, text
    if view.stale:
        return False, TrafficReason.STALE, "what is known is of the last contact"
    return True, TrafficReason.SYNCED, "all that policies need has been read"


def _newest(link: Link) -> Verdict:
    if link.refused:
        return False, link.refused[0], f"the one before is in use: {link.refused[1]}"
    if link.next is None:
        return True, TrafficReason.IN_USE, "the newest credential is in use"
    health = link.next.health
    if health.connected is False:
        return False, health.reason, f"the one before is in use: {health.text}"
    return False, TrafficReason.PROVING, "the newest credential is being proven; the one before is in use"
