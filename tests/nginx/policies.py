"""Policies and members' endpoints in one line each, as the operator writes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from gateway_operator.ingress.snapshot import Snapshot
from gateway_operator.traffic.config import Backend, Cluster, Path, Policy, Service, SplitConfig, SplitKey, Sticky
from tests.nginx.objects import world

CREATED = "2026-01-01T00:00:00Z"


def mirror(service: str, cluster: str) -> str:
    """The name of a mirror Service."""
    return f"ctp-{service}-{cluster}"


def cluster(service: str, name: str, weight: int | None = None, **more: Any) -> Cluster:
    """A cluster of a path, with its mirror unless said otherwise."""
    return Cluster(name=name, weight=weight, **({"mirror": mirror(service, name)} | more))


def backend(
    weights: Mapping[str, int | None] | Sequence[Cluster], service: str = "tea", namespace: str = "apps", **more: Any
) -> Backend:
    """A backend whose clusters have these weights (or are given); `key` is "Type" or "Type:name", `sticky` a cookie."""
    kind, _, name = more.pop("key", "Request").partition(":")
    cookie = more.pop("sticky", None)
    if isinstance(weights, Mapping):
        weights = [cluster(service, one, weight) for one, weight in sorted(weights.items())]
    return Backend(
        service=Service(namespace=namespace, name=service, port="80"),
        split_key=SplitKey(type=kind, name=name),
        sticky=Sticky(cookie=cookie, seconds=more.pop("seconds", 0)) if cookie else None,
        clusters=tuple(weights),
        **more,
    )


def path(where: str, to: Backend | None, kind: str = "Prefix", number: int = 0) -> Path:
    """A path of a policy; `where` is host and path, as `x.test/tea`; kind Default has neither."""
    host, slash, rest = where.partition("/")
    field = "spec.defaultBackend" if kind == "Default" else f"spec.rules[0].http.paths[{number}]"
    return Path(where=field, host=host, type=kind, path=slash + rest, backend=to)


def policy(name: str, *paths: Path, namespace: str = "apps", created: str = CREATED) -> Policy:
    """A policy."""
    return Policy(namespace=namespace, name=name, uid=f"uid-{name}", created=created, paths=paths)


def members(
    policies: Sequence[Policy], ports: Mapping[str, Any], *ingresses: dict[str, Any], service: str = "tea", **more: Any
) -> Snapshot:
    """A snapshot with policies; `ports` are those of clusters' endpoints (a port, a list, None for no endpoints).

    `totals` are numbers of all endpoints by cluster, `down` and `cut` what probes found.
    """
    totals, services = more.pop("totals", {}), dict(more.pop("services", {}))
    moved = {name: more.pop(name) for name in ("down", "cut") if name in more}
    found = world(*ingresses, services=services | {mirror(service, name): port for name, port in ports.items()}, **more)
    slices = {}
    for key, items in found.slices.items():
        notes = {f"ctp-{service}-{name}": str(total) for name, total in totals.items()}
        meta = {"name": key[1], "annotations": {"k8s.nginx.org/endpoints-total": notes.get(key[1], "")}}
        slices[key] = tuple({"metadata": meta, **item} for item in items)
    config = SplitConfig.of(policies) if policies else None
    return dataclasses.replace(found, slices=slices, splits=config, **moved)
