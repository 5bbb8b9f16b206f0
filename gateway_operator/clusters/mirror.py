"""What of the members stands in the centre: selector-less headless Services and their EndpointSlices. Pure.

Gateways read only the centre, so that they hold no credential of a member and go on when the operator, or a member's
API server, is away. Slices carry the labels of the Multi-Cluster Services API.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from gateway_operator.clusters.evaluation import Part, PathOutcome, PolicyOutcome
from gateway_operator.clusters.pace import Steps, at_once
from gateway_operator.clusters.policies import Policy, Service
from gateway_operator.clusters.store import FAMILIES, SERVICE_LABEL, Address, Alive
from gateway_operator.crds.traffic import API_VERSION, GROUP
from gateway_operator.names import short_name
from gateway_operator.traffic.config import SOURCE_LABEL, TOTAL_ANNOTATION

Object = dict[str, Any]
Key = tuple[str, str]  # namespace, name
MIRROR_LABEL = f"{GROUP}/mirror"
MIRROR_SELECTOR = f"{MIRROR_LABEL}=true"
POLICY_LABEL = f"{GROUP}/policy"
SOURCE_ANNOTATION = f"{GROUP}/source"
MANAGED_BY = "app.kubernetes.io/managed-by"
SLICE_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "gateway-operator-mirror"
OURS = "gateway-operator"
OWN_SERVICES_SELECTOR = f"{MIRROR_SELECTOR},{MANAGED_BY}={OURS}"  # those of a chart are Helm's
MCS_SERVICE = "multicluster.kubernetes.io/service-name"
SLICE_SIZE = 100
_NO_PORT = 80  # of a Service that no cluster has: a headless Service needs a number, which nobody uses


class MirrorRow(NamedTuple):
    """A mirror Service as the chart `cluster-traffic-policy` makes it."""

    name: str
    cluster: str
    service: Service

    def as_values(self) -> dict[str, Any]:
        """Return an item of the chart's `mirrors`."""
        port = self.service.port
        return {
            "name": self.name,
            "cluster": self.cluster,
            "service": {"namespace": self.service.namespace, "name": self.service.name},
            "port": {"name": port.name} if port.name else {"number": port.number},
        }


@dataclass(frozen=True)
class MirrorRows:
    """All mirror Services of a policy, in order."""

    rows: tuple[MirrorRow, ...]

    @cached_property
    def digest(self) -> str:
        """A name that is another one when any of them is."""
        return hashlib.sha256(json.dumps(self.as_values(), sort_keys=True).encode()).hexdigest()[:16]

    def as_values(self) -> list[dict[str, Any]]:
        """Return the chart's `mirrors`, made anew: together they are large."""
        return [row.as_values() for row in self.rows]


@dataclass(frozen=True, slots=True)
class Want:
    """One mirror Service, with its addresses; None: they aren't known yet, what is there stays."""

    namespace: str
    name: str
    policy: str
    policy_uid: str
    service: Service
    cluster: str
    port: int
    addresses: tuple[Address, ...] | None
    expired: bool = False
    total: int = 0  # endpoints that there are, ready or not

    @property
    def key(self) -> Key:
        """Namespace and name of the mirror Service."""
        return self.namespace, self.name

    @property
    def row(self) -> MirrorRow:
        """What the chart is told of it; nothing that moves by itself."""
        return MirrorRow(self.name, self.cluster, self.service)


@dataclass(frozen=True)
class Changes:
    """What makes the centre right: objects to apply, then objects to delete."""

    services: tuple[Object, ...] = ()
    slices: tuple[Object, ...] = ()
    old_slices: tuple[Object, ...] = ()
    old_services: tuple[Object, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.services or self.slices or self.old_slices or self.old_services)


def mirror_name(policy: tuple[str, str], service: Service, cluster: str) -> str:
    """Name the mirror of a Service's port in a cluster, for one policy; no user's text is in it."""
    parts = "\0".join((*policy, service.namespace, service.name, service.port.name, str(service.port.number), cluster))
    return f"ctp-{hashlib.sha256(parts.encode()).hexdigest()[:20]}"


def wants(outcomes: Iterable[PolicyOutcome], expired: frozenset[str] = frozenset()) -> dict[Key, Want]:
    """Return the mirrors that there should be. `expired` are clusters that were away for longer than staleTTL."""
    return {want.key: want for outcome in outcomes for want in wants_of(outcome, expired)}


def wants_of(outcome: PolicyOutcome, expired: frozenset[str]) -> list[Want]:
    """Return the mirrors of one policy."""
    return [
        _want(outcome.policy, path, part, expired=part.cluster in expired)
        for path in outcome.paths
        for part in _mirrored(path)
    ]


def changes(
    wanted: Mapping[Key, Want],
    services: Mapping[Key, Object],
    slices: Mapping[Key, Mapping[str, Object]],
    alive: Alive,
    only: Iterable[Key] | None = None,
    *,
    own_services: bool = True,
) -> Changes:
    """Compare with what is there. Empty when nothing differs. `comparing` does the same in steps."""
    return at_once(comparing(wanted, services, slices, alive, only, own_services=own_services))


def comparing(
    wanted: Mapping[Key, Want],
    services: Mapping[Key, Object],
    slices: Mapping[Key, Mapping[str, Object]],
    alive: Alive,
    only: Iterable[Key] | None = None,
    *,
    own_services: bool = True,
) -> Steps[Changes]:
    """Compare with what is there: mirror Services that we made, and slices by Service.

    `only` are those that may differ, where the caller knows that; what nobody wants goes in any case. Without
    `own_services` a chart makes the Services: those that we made go.
    """
    new_services, new_slices, old_slices = [], [], []
    for key in wanted if only is None else only:
        yield
        want = wanted[key]
        obj = service_object(want)
        if own_services and (key not in services or not _contains(services[key], obj)):
            new_services.append(obj)
        there = slices.get(key, {})
        addresses = want.addresses if want.addresses is not None else _kept(want, there.values(), alive)
        if addresses is None:
            continue
        total = max(want.total if want.addresses is not None else _total(there.values()), len(addresses))
        packed = pack(addresses, there.values()) or _placeholder(want, there.values(), total)
        named = _named(want, packed)
        first = min((name for name, *_ in named), default="")
        objs = {
            name: slice_object(want, name, place, ips, total if name == first else None) for name, place, ips in named
        }
        new_slices += [obj for name, obj in objs.items() if name not in there or not _is_right(there[name], obj)]
        old_slices += [obj for name, obj in there.items() if name not in objs]
    for key in slices.keys() - wanted.keys():
        old_slices += slices[key].values()
    old_services = [obj for key, obj in services.items() if not (own_services and key in wanted)]
    return Changes(tuple(new_services), tuple(new_slices), tuple(old_slices), tuple(old_services))


def pack(
    addresses: Sequence[Address], there: Iterable[Mapping[str, Any]]
) -> list[tuple[str, str, int, tuple[str, ...]]]:
    """Spread addresses over slices: (name or "" for a new one, family, port, IPs), at most `SLICE_SIZE` in each.

    An address stays in the slice that has it, so that a change of one pod rewrites one slice; slices that together
    are half empty are made anew.
    """
    groups: dict[tuple[str, int], set[str]] = {}
    for address in addresses:
        groups.setdefault(("IPv6" if ":" in address.ip else "IPv4", address.port), set()).add(address.ip)
    live: dict[tuple[str, int], list[tuple[str, list[str]]]] = {}
    for item in sorted(there, key=lambda obj: str(obj["metadata"]["name"])):
        place = (str(item.get("addressType")), _port_of(item))
        live.setdefault(place, []).append((str(item["metadata"]["name"]), _ips(item)))
    return [(name, *place, ips) for place in sorted(groups) for name, ips in _fill(groups[place], live.get(place, []))]


def service_object(want: Want) -> Object:
    """Return the mirror Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(want, want.name, {MANAGED_BY: OURS}),
        "spec": {
            "clusterIP": "None",
            "ports": [{"port": want.port, "protocol": "TCP"}],
        },
    }


def slice_object(want: Want, name: str, place: tuple[str, int], ips: Sequence[str], total: int | None = None) -> Object:
    """Return a mirror EndpointSlice; `place` is (address family, port).

    `total` is of the whole Service; one of its slices has it, so that a new pod changes two slices and not all.
    """
    metadata = _metadata(want, name, {SERVICE_LABEL: want.name, SLICE_MANAGED_BY: MANAGER})
    if total is not None:
        metadata["annotations"][TOTAL_ANNOTATION] = str(total)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": place[0],
        "ports": [{"name": "", "port": place[1], "protocol": "TCP"}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
    }


def service_of(item: Mapping[str, Any]) -> Key:
    """Return namespace and name of the Service that a slice belongs to."""
    meta = item["metadata"]
    return str(meta.get("namespace", "")), str((meta.get("labels") or {}).get(SERVICE_LABEL, ""))


def strip(obj: Object) -> Object:
    """Keep of a live mirror object what is compared."""
    meta = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "labels", "annotations", "ownerReferences")
    result: Object = {
        key: obj[key] for key in ("apiVersion", "kind", "addressType", "ports", "endpoints") if key in obj
    }
    result["metadata"] = {key: meta[key] for key in kept if key in meta}
    if "spec" in obj:
        result["spec"] = {key: obj["spec"].get(key) for key in ("clusterIP", "ports")}
    return result


def _mirrored(path: PathOutcome) -> list[Part]:
    """Where no cluster is named, only those count that have the Service (or may have it)."""
    if path.rule.backend and path.rule.backend.entries is not None:
        return list(path.parts)
    shown = {share.name for share in path.split.shares}
    return [part for part in path.parts if part.cluster in shown]


def _want(policy: Policy, path: PathOutcome, part: Part, *, expired: bool) -> Want:
    if path.rule.backend is None:
        raise ValueError("a path without a backend has no mirror")
    service, found = path.rule.backend.service, part.found
    return Want(
        namespace=policy.namespace,
        name=mirror_name(policy.key, service, part.cluster),
        policy=policy.name,
        policy_uid=policy.uid,
        service=service,
        cluster=part.cluster,
        port=service.port.number or _known_port(path.parts) or _NO_PORT,
        addresses=found.addresses if found else None,
        expired=expired,
        total=found.total if found else 0,
    )


def _known_port(parts: Iterable[Part]) -> int:
    """Return the number of a named port in the first cluster that has it."""
    return next((part.found.port for part in parts if part.found and part.found.port), 0)


def _kept(want: Want, there: Iterable[Mapping[str, Any]], alive: Alive) -> tuple[Address, ...] | None:
    """Return what stays of addresses that can't be checked with the member; None: all of it."""
    if not want.expired:
        return None
    known = [Address(ip, _port_of(item)) for item in there for ip in _ips(item)]
    return tuple(sorted(address for address in known if alive(want.cluster, address) is not False))


def _total(there: Iterable[Mapping[str, Any]]) -> int:
    """Return what the slices say of the number of all endpoints."""
    texts = [(item["metadata"].get("annotations") or {}).get(TOTAL_ANNOTATION, "") for item in there]
    return max((int(text) for text in texts if text.isdecimal()), default=0)


def _placeholder(
    want: Want, there: Iterable[Mapping[str, Any]], total: int
) -> list[tuple[str, str, int, tuple[str, ...]]]:
    """Return an empty slice where nobody is ready, so that gateways know how many could be."""
    if not total:
        return []
    first = min(there, key=lambda item: str(item["metadata"]["name"]), default=None)
    if first is None:
        return [("", FAMILIES[0], want.port, ())]
    return [(str(first["metadata"]["name"]), str(first.get("addressType")), _port_of(first), ())]


def _fill(ips: set[str], live: list[tuple[str, list[str]]]) -> list[tuple[str, tuple[str, ...]]]:
    left = set(ips)
    slots: list[tuple[str, list[str]]] = []
    for name, there in live:
        kept = [ip for ip in there if ip in left][:SLICE_SIZE]
        left.difference_update(kept)
        slots.append((name, kept))
    if sum(len(kept) for _, kept in slots) * 2 < SLICE_SIZE * (len(slots) - 1):
        slots, left = slots[:1], set(ips) - set(slots[0][1])
    waiting = sorted(left)
    for _, kept in slots:
        room = SLICE_SIZE - len(kept)
        kept.extend(waiting[:room])
        waiting = waiting[room:]
    slots += [("", waiting[n : n + SLICE_SIZE]) for n in range(0, len(waiting), SLICE_SIZE)]
    return [(name, tuple(kept)) for name, kept in slots if kept]


def _named(
    want: Want, packed: Iterable[tuple[str, str, int, tuple[str, ...]]]
) -> list[tuple[str, tuple[str, int], tuple[str, ...]]]:
    """Give new slices names: the Service's and a number that is free."""
    rows = list(packed)
    taken = {name for name, *_ in rows}
    result, number = [], 0
    for name, family, port, ips in rows:
        while not name:
            candidate, number = f"{want.name}-{number}", number + 1
            name = "" if candidate in taken else candidate  # noqa: PLW2901
        result.append((name, (family, port), ips))
    return result


def _metadata(want: Want, name: str, labels: Mapping[str, str]) -> Object:
    own = {
        MIRROR_LABEL: "true",
        POLICY_LABEL: short_name(want.policy),
        MCS_SERVICE: want.service.name,
        SOURCE_LABEL: want.cluster,
    }
    return {
        "name": name,
        "namespace": want.namespace,
        "labels": {**own, **labels},
        "annotations": {SOURCE_ANNOTATION: f"{want.cluster}/{want.service}"},
        "ownerReferences": [
            {"apiVersion": API_VERSION, "kind": "ClusterTrafficPolicy", "name": want.policy, "uid": want.policy_uid}
        ],
    }


def _is_right(live: Object, wanted: Object) -> bool:
    """Tell whether a slice is as it should be; a total that should be elsewhere is wrong, though it is only more."""
    return _contains(live, wanted) and _total([live]) == _total([wanted])


def _contains(live: Any, wanted: Any) -> bool:
    """Tell whether all of `wanted` is in `live`; maps may have more, lists may not."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(_contains(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(_contains(a, b) for a, b in zip(live, wanted, strict=True))
        )
    return bool(live == wanted) or (wanted == "" and live is None)


def _port_of(item: Mapping[str, Any]) -> int:
    ports = item.get("ports") or [{}]
    return int(ports[0].get("port") or 0)


def _ips(item: Mapping[str, Any]) -> list[str]:
    return [str(endpoint["addresses"][0]) for endpoint in item.get("endpoints") or () if endpoint.get("addresses")]
