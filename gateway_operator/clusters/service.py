"""The cluster half of flow 2 as one thing to run: members and policies in, mirrors, statuses and outcomes out.

One loop: whatever moves sets a flag, and one pass over everything answers it. A pass is pure but for its ends, so a
missed event can't leave anything behind that the next pass doesn't mend.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prometheus_client import Gauge

from gateway_operator.clusters import kubeconfig
from gateway_operator.clusters.acknowledgement import GatewayPods
from gateway_operator.clusters.connection import Link
from gateway_operator.clusters.evaluation import (
    Evaluator,
    Members,
    Place,
    PolicyOutcome,
    needed_namespaces,
)
from gateway_operator.clusters.facts import facts_of, used_by
from gateway_operator.clusters.grants import HOSTS_ANNOTATION, SERVICES_ANNOTATION, Grants, grants_of, may_use
from gateway_operator.clusters.members import MEMBERS, Definition, Registry
from gateway_operator.clusters.mirror import Key, MirrorRows, Want, wants_of
from gateway_operator.clusters.nginxes import release_of, slim
from gateway_operator.clusters.pace import Steps, unhurried
from gateway_operator.clusters.packing import PackedPolicy, pack_policy
from gateway_operator.clusters.policies import Policy, Problem, read
from gateway_operator.clusters.programming import Issued, contests_of, problems_of, programmed, quarantines_of
from gateway_operator.clusters.splitting import Settled, Splitter, settle_all
from gateway_operator.clusters.status import Verdict, member_status, policy_status
from gateway_operator.clusters.store import Alive, MemberView
from gateway_operator.clusters.writer import Mirror, StatusRow, StatusWriter
from gateway_operator.crds import base
from gateway_operator.crds.traffic import GROUP, VERSION, TrafficReason
from gateway_operator.errors import ApiError, ConfigError
from gateway_operator.kube import Api, Connection, Informer, Resource
from gateway_operator.telemetry import get_logger
from gateway_operator.traffic.gateways import Assignment, Gateway, Quarantined, gateway_of
from gateway_operator.traffic.gateways import Key as GatewayKey

log = get_logger(__name__)
POLICIES = Resource(GROUP, VERSION, "ClusterTrafficPolicy", "clustertrafficpolicies", namespaced=True)
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
NGINXES = Resource(base.GROUP, base.VERSION, "Nginx", "nginxes", namespaced=True)
CONNECTED = Gauge("gateway_operator_member_connected", "1 while a member's API server answers.", ["cluster"])
STALE = Gauge("gateway_operator_member_stale", "1 while a member's endpoints are those last known.", ["cluster"])
_GATHER = 0.02  # seconds in which changes come together
_AGAIN = 1.0  # seconds until what could not be written is tried again
_AT_LEAST = 300.0  # seconds between two passes, also without a change

Object = dict[str, Any]
Said = tuple[PolicyOutcome, Verdict | None, tuple[Problem, ...], tuple[tuple[str, str], ...]]  # a status's sources


@dataclass(frozen=True)
class ClusterSettings:
    """`namespace` is where kubeconfigs lie; `here` is where the gateways stand; `splits` tells whose pods can split.

    `own_services` tells whether the mirror makes its Services itself: not where a row of watches.yaml does.
    """

    namespace: str
    here: Place = field(default_factory=Place)
    splits: Callable[[Object], bool] = lambda _nginx: True
    own_services: Callable[[], bool] = lambda: True


class Clusters:
    """Members, policies and the mirror of one centre.

    `assignments` is what each gateway is told, None until that is known; `quarantines` is whom its nginx refuses.
    `listeners` are told whose have changed.
    """

    def __init__(self, api: Api, settings: ClusterSettings, *, alive: Alive | None = None) -> None:
        self.outcomes: tuple[PolicyOutcome, ...] = ()
        self.members: Members = Members({}, {})
        self.assignments: dict[GatewayKey, Assignment] | None = None
        self.listeners: list[Callable[[GatewayKey], None]] = []
        self.quarantines: dict[GatewayKey, Quarantined] = {}
        self.mirrors: dict[tuple[str, str], MirrorRows] = {}
        self.mirror_listeners: list[Callable[[tuple[str, str]], None]] = []
        self._api = api
        self._settings = settings
        self._dirty = asyncio.Event()
        self._registry = Registry(api, settings.namespace, self._dirty.set)
        self._policies = Informer(api, POLICIES, strip=pack_policy, on_event=lambda *_: self._dirty.set())
        self._namespaces = Informer(api, NAMESPACES, metadata_only=True, on_event=lambda *_: self._dirty.set())
        self._nginxes = Informer(api, NGINXES, strip=slim, on_event=self._on_nginx)
        self._gateways: tuple[Gateway, ...] | None = None
        self._pods = GatewayPods(api, self._dirty.set)
        self._alive = alive or self._pods.alive
        self._issued = Issued()
        self._said: dict[tuple[str, str], Said] = {}
        self._mirror = Mirror(api, self._dirty.set)
        self._member_statuses = StatusWriter(api, MEMBERS)
        self._policy_statuses = StatusWriter(api, POLICIES)
        self._evaluator = Evaluator()
        self._read: dict[tuple[str, str], tuple[PackedPolicy, Grants, Policy]] = {}
        self._settled: tuple[list[Policy], tuple[Gateway, ...], Settled] = ([], (), Settled((), {}))
        self._splitter = Splitter()
        self._wants: dict[tuple[str, str], tuple[PolicyOutcome, frozenset[str], list[Want]]] = {}
        self._rows: dict[tuple[str, str], tuple[PolicyOutcome, MirrorRows]] = {}
        self._links: dict[str, Link] = {}
        self._definitions: dict[str, Definition] = {}
        self._started = time.monotonic()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                followers = (self._registry, self._policies, self._namespaces, self._nginxes, self._pods, self._mirror)
                for follower in followers:
                    group.create_task(follower.run())
                group.create_task(self._loop())
        finally:
            await asyncio.gather(*(link.close() for link in self._links.values()))

    async def _loop(self) -> None:
        await self._registry.synced()
        await self._policies.synced.wait()
        await self._namespaces.synced.wait()
        await self._nginxes.synced.wait()
        await self._mirror.synced()
        began = True
        while True:
            self._dirty.clear()
            try:
                rest = await self._pass()
                if began and rest != _AGAIN:
                    began = False
                    _keep_for_good()
            except ApiError as error:
                log.warning("pass over clusters broke off", error=str(error))
                rest = _AGAIN
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._dirty.wait()
            await asyncio.sleep(_GATHER)

    def describe(self) -> dict[str, Any]:
        """Tell for /readyz how each member is, and what there is to do."""
        members = {}
        for name, link in sorted(self._links.items()):
            current = link.current
            reason = current.health.reason if current else (link.refused or (TrafficReason.CONNECTING, ""))[0]
            members[name] = {
                "connected": bool(current and current.health.connected),
                "reason": str(reason),
                "credentialRefused": bool(link.refused),
            }
        return {
            "known": self.assignments is not None,
            "policies": len(self._policies.store),
            "gateways": {"/".join(key): found.digest for key, found in sorted((self.assignments or {}).items())},
            "members": members,
        }

    def problems(self) -> list[str]:
        """Say which watches of the centre don't work."""
        own = (self._policies, self._namespaces, self._nginxes, self._pods.informer)
        informers = (*own, *self._registry.informers, *self._mirror.informers)
        return [f"clusters: watch of {one.res.plural}: {one.error}" for one in informers if one.error]

    def poke(self) -> None:
        """Look again, since probes say something else."""
        self._dirty.set()

    async def _pass(self) -> float:
        """Do everything once; returns the seconds after which to look again without a change."""
        await self._follow_members()
        settled = await unhurried(self._read_policies())
        policies = settled.policies
        needs = needed_namespaces(policies, self._links)
        for name, link in self._links.items():
            link.need(needs[name])
            link.settle()
        members = self._members()
        here = self._settings.here
        outcomes = tuple(await unhurried(self._evaluator.steps(policies, members, here, self._alive)))
        self._pods.urgent = any(view.stale for view in members.views.values())
        self._assign(await unhurried(self._splitter.steps(settled, outcomes, members, here)))
        expired = frozenset(name for name, view in members.views.items() if view.expired)
        wanted = await unhurried(self._wanted(outcomes, expired))
        self._tell_mirrors()
        self._tell_quarantines()
        done = await self._mirror.sync(wanted, self._alive, services=self._settings.own_services())
        self.outcomes, self.members = outcomes, members
        done &= await self._write_statuses(outcomes, members)
        return self._until_expiry(members) if done else _AGAIN

    def _wanted(self, outcomes: Iterable[PolicyOutcome], expired: frozenset[str]) -> Steps[dict[Key, Want]]:
        """Return all mirrors; those of policies that nothing happened to are the same objects as the last time."""
        before, self._wants = self._wants, {}
        for outcome in outcomes:
            key = outcome.policy.key
            old = before.get(key)
            fresh = old is None or old[0] is not outcome or old[1] != expired
            self._wants[key] = (outcome, expired, wants_of(outcome, expired)) if fresh or old is None else old
            yield
        return {want.key: want for *_, found in self._wants.values() for want in found}

    def _assign(self, assignments: dict[GatewayKey, Assignment]) -> None:
        """Tell the listeners what is new; at first everything is, and who serves nothing must hear that, too."""
        before, self.assignments = self.assignments, assignments
        self._issued.note(assignments)
        mine = {gateway.key: self._nginxes.store.get(gateway.key) for gateway in self._settled[1]}
        self._pods.follow({(key[0], release_of(nginx)): key for key, nginx in mine.items() if nginx})
        known = before or {}
        self._tell(k for k in assignments.keys() | known.keys() if not before or known.get(k) != assignments.get(k))

    def _tell_quarantines(self) -> None:
        """Tell the listeners whose pods leave out others than before."""
        before, self.quarantines = self.quarantines, quarantines_of(self._pods.reports(), self.quarantines)
        self._tell(key for key, found in self.quarantines.items() if before.get(key) != found)

    def _tell(self, gateways: Iterable[GatewayKey]) -> None:
        for key in gateways:
            for listener in self.listeners:
                listener(key)

    def _on_nginx(self, _type: str, _obj: Object, _previous: Object | None) -> None:
        self._gateways = None
        self._dirty.set()

    def _tell_mirrors(self) -> None:
        """Tell the listeners whose mirrors are other ones."""
        before, self.mirrors = self.mirrors, {}
        for key, (outcome, _, wants) in self._wants.items():
            old = self._rows.get(key)
            same = old is not None and old[0] is outcome
            rows = old[1] if old is not None and same else MirrorRows(tuple(sorted({w.row for w in wants})))
            self._rows[key] = (outcome, rows)
            self.mirrors[key] = rows
            if before.get(key) != rows:
                for listener in self.mirror_listeners:
                    listener(key)
        for key in self._rows.keys() - self.mirrors.keys():
            del self._rows[key]

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

    def _read_policies(self) -> Steps[Settled]:
        """Return all policies, each without what an older one has; the same object while nothing changes."""
        services, hosts = self._grants(SERVICES_ANNOTATION), self._grants(HOSTS_ANNOTATION)
        granted = may_use(services)
        before, self._read = self._read, {}
        kept: PackedPolicy
        for key, kept in list(self._policies.store.items()):
            yield
            if not kept.leaves:
                old = before.get(key)
                known = old is not None and old[0].asked == kept.asked and old[1] == services
                policy = old[2] if old is not None and known else read(kept.unpack(), granted)
                self._read[key] = (kept, services, policy)
        found = [policy for *_, policy in self._read.values()]
        if self._gateways is None:
            nginxes = sorted(self._nginxes.store.items())
            self._gateways = tuple(gateway_of(obj) for _, obj in nginxes if self._settings.splits(obj))
        last = self._settled
        same = len(found) == len(last[0]) and all(a is b for a, b in zip(found, last[0], strict=True))
        if not same or self._gateways != last[1] or hosts != last[2].grants:
            self._settled = (found, self._gateways, settle_all(found, self._gateways, hosts))
        return self._settled[2]

    def _grants(self, annotation: str) -> Grants:
        return grants_of(annotation, self._namespaces.store.values())

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
        used = used_by(outcomes)
        rows: list[StatusRow] = []
        for name, view in members.views.items():
            facts = facts_of(self._definitions[name], self._links[name], view, used.get(name, (0, 0)))
            CONNECTED.labels(name).set(facts.connected[0] is True)
            STALE.labels(name).set(facts.stale)
            obj = self._registry.members.store.get(("", name))
            if obj is not None:
                status_of = partial(member_status, facts=facts, now=now)
                rows.append(StatusRow(("", name), obj, facts, partial(_itself, obj), status_of))
        done = await self._member_statuses.write(rows)
        rows = []
        for said in self._say(outcomes):
            kept: PackedPolicy | None = self._policies.store.get(said[0].policy.key)
            if kept is not None:
                rows.append(StatusRow(kept.key, kept, said, kept.unpack, partial(_status_of, said, now)))
        return await self._policy_statuses.write(rows) and done

    def _say(self, outcomes: Iterable[PolicyOutcome]) -> Iterable[Said]:
        """Return what each policy's status comes from; what is as the last time is the same object."""
        before, self._said = self._said, {}
        reports, gateways = self._pods.reports(), self._settled[1]
        everybody = [report for found in reports.values() for report in found]
        for outcome in outcomes:
            policy = outcome.policy
            verdict = programmed(policy, gateways, self.assignments or {}, reports, self._issued)
            said = (outcome, verdict, problems_of(policy.key, everybody), contests_of(policy, everybody))
            old = before.get(policy.key)
            self._said[policy.key] = old if old is not None and old[0] is outcome and old[1:] == said[1:] else said
        return self._said.values()


def _itself(obj: Object) -> Object:
    return obj


def _status_of(said: Said, now: datetime, obj: Object) -> Object:
    return policy_status(obj, said[0], now, *said[1:])


def _keep_for_good() -> None:
    """Spare the collector what the start made and mostly stays: each look through it would hold up the event loop."""
    gc.collect()
    gc.freeze()


def _digest(definition: Definition) -> str:
    if definition.local:
        return "local"
    rest = f"\0{definition.context}\0{definition.insecure}" if definition.context or definition.insecure else ""
    return kubeconfig.digest((definition.kubeconfig or b"") + rest.encode())
