"""The cluster half of flow 2 as one thing to run: members and policies in, mirrors, statuses and outcomes out.

One loop: whatever moves sets a flag, and one pass over everything answers it. A pass is pure but for its ends, so a
missed event can't leave anything behind that the next pass doesn't mend.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prometheus_client import Gauge

from gateway_operator.clusters import kubeconfig
from gateway_operator.clusters.conflicts import settle
from gateway_operator.clusters.connection import Connector, Link
from gateway_operator.clusters.evaluation import (
    Evaluator,
    Members,
    Place,
    PolicyOutcome,
    knows_nothing,
    needed_namespaces,
)
from gateway_operator.clusters.members import MEMBERS, Definition, Registry
from gateway_operator.clusters.mirror import Key, Want, wants_of
from gateway_operator.clusters.policies import Granted, Policy, read
from gateway_operator.clusters.status import MemberFacts, Verdict, member_status, policy_status
from gateway_operator.clusters.store import Alive, MemberView
from gateway_operator.clusters.writer import Mirror, StatusWriter
from gateway_operator.crds.traffic import GROUP, VERSION, TrafficReason
from gateway_operator.errors import ApiError, ConfigError
from gateway_operator.kube import Api, Connection, Informer, Resource
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)
POLICIES = Resource(GROUP, VERSION, "ClusterTrafficPolicy", "clustertrafficpolicies", namespaced=True)
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
GRANT_ANNOTATION = f"{GROUP}/grant-services-to"  # on a Namespace: others whose policies may use its services, or *
CONNECTED = Gauge("gateway_operator_member_connected", "1 while a member's API server answers.", ["cluster"])
STALE = Gauge("gateway_operator_member_stale", "1 while a member's endpoints are those last known.", ["cluster"])
_GATHER = 0.02  # seconds in which changes come together
_AGAIN = 1.0  # seconds until what could not be written is tried again
_AT_LEAST = 300.0  # seconds between two passes, also without a change

Object = dict[str, Any]


@dataclass(frozen=True)
class ClusterSettings:
    """`namespace` is where kubeconfigs lie; `here` is where the gateways stand."""

    namespace: str
    here: Place = field(default_factory=Place)


class Clusters:
    """Members, policies and the mirror of one centre. `listeners` are told when `outcomes` has changed."""

    def __init__(self, api: Api, settings: ClusterSettings, *, alive: Alive = knows_nothing) -> None:
        self.outcomes: tuple[PolicyOutcome, ...] = ()
        self.listeners: list[Callable[[], None]] = []
        self._api = api
        self._settings = settings
        self._alive = alive
        self._dirty = asyncio.Event()
        self._registry = Registry(api, settings.namespace, self._dirty.set)
        self._policies = Informer(api, POLICIES, on_event=lambda *_: self._dirty.set())
        self._namespaces = Informer(api, NAMESPACES, metadata_only=True, on_event=lambda *_: self._dirty.set())
        self._mirror = Mirror(api, self._dirty.set)
        self._member_statuses = StatusWriter(api, MEMBERS)
        self._policy_statuses = StatusWriter(api, POLICIES)
        self._evaluator = Evaluator()
        self._read: dict[tuple[str, str], tuple[Object, str, Policy]] = {}
        self._settled: tuple[list[Policy], list[Policy]] = ([], [])
        self._wants: dict[tuple[str, str], tuple[PolicyOutcome, frozenset[str], list[Want]]] = {}
        self._links: dict[str, Link] = {}
        self._definitions: dict[str, Definition] = {}
        self._started = time.monotonic()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for follower in (self._registry, self._policies, self._namespaces, self._mirror):
                    group.create_task(follower.run())
                group.create_task(self._loop())
        finally:
            await asyncio.gather(*(link.close() for link in self._links.values()))

    async def _loop(self) -> None:
        await self._registry.synced()
        await self._policies.synced.wait()
        await self._namespaces.synced.wait()
        await self._mirror.synced()
        while True:
            self._dirty.clear()
            try:
                rest = await self._pass()
            except ApiError as error:
                log.warning("pass over clusters broke off", error=str(error))
                rest = _AGAIN
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._dirty.wait(), rest)
            await asyncio.sleep(_GATHER)

    def poke(self) -> None:
        """Look again, since probes say something else."""
        self._dirty.set()

    async def _pass(self) -> float:
        """Do everything once; returns the seconds after which to look again without a change."""
        await self._follow_members()
        policies = self._read_policies()
        needs = needed_namespaces(policies, self._links)
        for name, link in self._links.items():
            link.need(needs[name])
            link.settle()
        members = self._members()
        outcomes = tuple(self._evaluator.run(policies, members, self._settings.here, self._alive))
        expired = frozenset(name for name, view in members.views.items() if view.expired)
        done = await self._mirror.sync(self._wanted(outcomes, expired), self._alive)
        if outcomes != self.outcomes:
            self.outcomes = outcomes
            for listener in self.listeners:
                listener()
        done &= await self._write_statuses(outcomes, members)
        return self._until_expiry(members) if done else _AGAIN

    def _wanted(self, outcomes: Iterable[PolicyOutcome], expired: frozenset[str]) -> dict[Key, Want]:
        """Return all mirrors; those of policies that nothing happened to are the same objects as the last time."""
        before, self._wants = self._wants, {}
        for outcome in outcomes:
            key = outcome.policy.key
            old = before.get(key)
            fresh = old is None or old[0] is not outcome or old[1] != expired
            self._wants[key] = (outcome, expired, wants_of(outcome, expired)) if fresh or old is None else old
        return {want.key: want for *_, found in self._wants.values() for want in found}

    def _until_expiry(self, members: Members) -> float:
        """Return the seconds until the next stale member has been so for its staleTTL."""
        now, rest = time.monotonic(), _AT_LEAST
        for name, view in members.views.items():
            if view.stale and not view.expired:
                current = self._links[name].current
                since = max(current.health.seen if current else 0.0, self._started)
                rest = min(rest, since + self._definitions[name].stale_ttl - now)
        return max(rest, _GATHER)

    async def _follow_members(self) -> None:
        self._definitions = await self._registry.definitions()
        for name in self._links.keys() - self._definitions.keys():
            await self._links.pop(name).close()
            for gauge in (CONNECTED, STALE):
                with contextlib.suppress(KeyError):
                    gauge.remove(name)
        for name, definition in self._definitions.items():
            link = self._links.setdefault(name, Link(name, self._dirty.set))
            self._credential(link, definition)

    def _credential(self, link: Link, definition: Definition) -> None:
        """Give a member's link the credential that its definition names, unless it has it."""
        if definition.problem:
            link.refuse(*definition.problem)
            return
        digest = _digest(definition)
        if digest in {link.next_digest, link.digest}:
            if digest == link.digest and (link.next or link.refused):
                link.keep()
            return
        if link.refused and link.refused_digest == digest:
            return
        if definition.local:
            link.use(self._api, digest, owned=False)
            return
        try:
            text = definition.kubeconfig or b""
            credentials = kubeconfig.parse(text, definition.context, allow_insecure=definition.insecure)
            link.use(Api(Connection.of(credentials)), digest)
        except kubeconfig.KubeconfigError as error:
            link.refuse(error.reason, str(error), digest)
        except ConfigError as error:
            link.refuse(TrafficReason.KUBECONFIG_INVALID, str(error), digest)

    def _read_policies(self) -> list[Policy]:
        """Return all policies, each without what an older one has; the same list while nothing changes."""
        grants, granted = self._grants()
        before, self._read = self._read, {}
        for key, obj in self._policies.store.items():
            if not obj["metadata"].get("deletionTimestamp"):
                old = before.get(key)
                known = old is not None and old[0] is obj and old[1] == grants
                self._read[key] = old if old is not None and known else (obj, grants, read(obj, granted))
        found = [policy for *_, policy in self._read.values()]
        if len(found) != len(self._settled[0]) or any(a is not b for a, b in zip(found, self._settled[0], strict=True)):
            classes = sorted({policy.ingress_class for policy in found})
            settled = [policy for name in classes for policy in settle(p for p in found if p.ingress_class == name)]
            self._settled = (found, settled)
        return self._settled[1]

    def _grants(self) -> tuple[str, Granted]:
        """Return the grants of all Namespaces as a text that changes with them, and as a question."""
        grants = {
            meta["metadata"]["name"]: (meta["metadata"].get("annotations") or {}).get(GRANT_ANNOTATION, "")
            for meta in self._namespaces.store.values()
        }

        def granted(of: str, to: str) -> bool:
            return bool({of, "*"} & {name.strip() for name in grants.get(to, "").split(",")})

        return repr(sorted(item for item in grants.items() if item[1])), granted

    def _members(self) -> Members:
        views = {name: self._view(self._definitions[name], self._links[name]) for name in self._definitions}
        return Members(views, {name: item.place for name, item in self._definitions.items()})

    def _view(self, definition: Definition, link: Link) -> MemberView:
        current = link.current
        if current is None:
            return MemberView(definition.name, stale=True, expired=self._expired(definition, 0.0))
        stale = not current.health.connected
        return MemberView(
            definition.name,
            services=current.services,
            slices=current.slices,
            synced=current.synced,
            stale=stale,
            expired=stale and self._expired(definition, current.health.seen),
            memo=current.memo,
        )

    def _expired(self, definition: Definition, seen: float) -> bool:
        return time.monotonic() - max(seen, self._started) > definition.stale_ttl

    async def _write_statuses(self, outcomes: Iterable[PolicyOutcome], members: Members) -> bool:
        now = datetime.now(UTC)
        used = _used(outcomes)
        rows: list[tuple[Object, Any, Callable[[], Object]]] = []
        for name, view in members.views.items():
            facts = self._facts(self._definitions[name], self._links[name], view, used.get(name, (0, 0)))
            CONNECTED.labels(name).set(facts.connected[0] is True)
            STALE.labels(name).set(facts.stale)
            obj = self._registry.members.store.get(("", name))
            if obj is not None:
                rows.append((obj, facts, partial(member_status, obj, facts, now)))
        done = await self._member_statuses.write(rows)
        rows = []
        for outcome in outcomes:
            obj = self._policies.store.get(outcome.policy.key)
            if obj is not None:
                rows.append((obj, outcome, partial(policy_status, obj, outcome, now)))
        return await self._policy_statuses.write(rows) and done

    def _facts(self, definition: Definition, link: Link, view: MemberView, used: tuple[int, int]) -> MemberFacts:
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


def _digest(definition: Definition) -> str:
    if definition.local:
        return "local"
    rest = f"\0{definition.context}\0{definition.insecure}" if definition.context or definition.insecure else ""
    return kubeconfig.digest((definition.kubeconfig or b"") + rest.encode())


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


def _used(outcomes: Iterable[PolicyOutcome]) -> Mapping[str, tuple[int, int]]:
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
