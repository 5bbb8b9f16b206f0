"""Which member clusters there are: MemberCluster objects, labelled Secrets, and seed 000's ConfigMap.

All become one `Definition`. A MemberCluster wins over a Secret of the same cluster, and that over the ConfigMap; the
loser is told.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway_operator.clusters.evaluation import Place
from gateway_operator.crds.member import (
    DEFAULT_KEY,
    DEFAULT_STALE_TTL,
    NAME,
    NETWORK_LABEL,
    REGION_LABEL,
    ZONE_LABEL,
)
from gateway_operator.crds.traffic import GROUP, VERSION, TrafficReason
from gateway_operator.errors import ApiError, NotFound
from gateway_operator.kube import Api, Informer, Resource
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)
MEMBERS = Resource(GROUP, VERSION, "MemberCluster", "memberclusters", namespaced=False)
SECRETS = Resource("", "v1", "Secret", "secrets", namespaced=True)
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)
SECRET_LABEL = f"{GROUP}/member-clusters"  # "true": each key of the Secret is a cluster, its value a kubeconfig
CONFIG_MAP = "ingress-watch-cluster"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_MAX_NAME = 63


@dataclass(frozen=True)
class Definition:
    """A member as somebody wrote it down; `problem` says why it can't be used. `stale_ttl` is in seconds."""

    name: str
    source: str
    kubeconfig: bytes | None = field(default=None, repr=False)
    context: str | None = None
    local: bool = False
    insecure: bool = False
    place: Place = field(default_factory=Place)
    stale_ttl: float = 600.0
    created: str = ""
    problem: tuple[TrafficReason, str] | None = None

    @property
    def age(self) -> tuple[str, str]:
        """Orders members, the oldest first."""
        return self.created, self.name


def from_object(obj: Mapping[str, Any], secret: Mapping[str, Any] | None) -> Definition:
    """Read a MemberCluster; `secret` is the one that it names, or None where that is absent."""
    meta, spec = obj["metadata"], obj.get("spec") or {}
    ref = spec.get("kubeconfigSecretRef") or {}
    text, problem = None, None
    if not spec.get("local"):
        text, problem = _value(secret, ref.get("name") or "", ref.get("key") or DEFAULT_KEY)
    labels = meta.get("labels") or {}
    own = _place(labels)
    return Definition(
        name=meta["name"],
        source=f"MemberCluster {meta['name']}",
        kubeconfig=text,
        context=spec.get("context"),
        local=bool(spec.get("local")),
        insecure=bool(spec.get("insecureSkipTLSVerify")),
        place=Place(spec.get("region") or own.region, spec.get("zone") or own.zone, spec.get("network") or own.network),
        stale_ttl=seconds(spec.get("staleTTL") or DEFAULT_STALE_TTL),
        created=meta.get("creationTimestamp") or "",
        problem=problem,
    )


def from_secret(secret: Mapping[str, Any]) -> list[Definition]:
    """Read a labelled Secret: each key is a cluster's name, each value a kubeconfig."""
    meta = secret["metadata"]
    place, found = _place(meta.get("labels") or {}), []
    for name in sorted(secret.get("data") or {}):
        text, problem = _value(secret, meta["name"], name)
        found.append(_plain(name, f"Secret {meta['namespace']}/{meta['name']}", text, meta, place, problem))
    return found


def from_config_map(config_map: Mapping[str, Any]) -> list[Definition]:
    """Read seed 000's ConfigMap: each key is a cluster's name, each value a kubeconfig."""
    meta = config_map["metadata"]
    source = f"ConfigMap {meta['namespace']}/{meta['name']}"
    data = config_map.get("data") or {}
    return [_plain(name, source, data[name].encode(), meta, Place(), None) for name in sorted(data)]


def merge(definitions: Iterable[Definition]) -> tuple[dict[str, Definition], list[str]]:
    """Return one definition for each name, the oldest first, and what to say about those that lost.

    `definitions` come in the order in which they win.
    """
    result: dict[str, Definition] = {}
    remarks = []
    for item in definitions:
        if not re.fullmatch(NAME, item.name) or len(item.name) > _MAX_NAME:
            remarks.append(f"{item.source}: {item.name!r} can't be the name of a cluster")
        elif item.name in result:
            remarks.append(f"{item.source}: cluster {item.name} is defined by {result[item.name].source} already")
        else:
            result[item.name] = item
    return {item.name: item for item in sorted(result.values(), key=lambda d: d.age)}, remarks


def seconds(text: str) -> float:
    """Read a duration such as 10m or 1h30m; what is none counts as the default."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return seconds(DEFAULT_STALE_TTL)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class Registry:
    """Follows all three sources; `changed` is called when `definitions()` may answer something else."""

    def __init__(self, api: Api, namespace: str, changed: Callable[[], None]) -> None:
        self._api = api
        self._namespace = namespace
        self._changed = changed
        here = {"namespace": namespace, "on_event": self._note}
        self.members = Informer(api, MEMBERS, on_event=self._note)
        # whole Secrets would include every Helm release of the namespace
        self._secrets = Informer(api, SECRETS, metadata_only=True, **here)  # type: ignore[arg-type]
        self._maps = Informer(api, CONFIG_MAPS, field_selector=f"metadata.name={CONFIG_MAP}", **here)  # type: ignore[arg-type]
        self._contents: dict[str, dict[str, Any]] = {}
        self._remarks: tuple[str, ...] = ()

    @property
    def informers(self) -> tuple[Informer, ...]:
        """What follows the sources."""
        return self.members, self._secrets, self._maps

    async def run(self) -> None:
        """Follow the sources until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self.informers:
                group.create_task(informer.run())

    async def synced(self) -> None:
        """Wait until all that there is has been seen."""
        for informer in self.informers:
            await informer.synced.wait()

    async def definitions(self) -> dict[str, Definition]:
        """Return all members by name, the oldest first. Raises ApiError when a Secret can't be read."""
        objects = list(self.members.store.values())
        labelled = [
            meta["metadata"]["name"]
            for meta in self._secrets.store.values()
            if (meta["metadata"].get("labels") or {}).get(SECRET_LABEL) == "true"
        ]
        named = [((obj.get("spec") or {}).get("kubeconfigSecretRef") or {}).get("name") for obj in objects]
        await self._read({*labelled, *(name for name in named if name)})
        found = [from_object(obj, self._contents.get(name or "")) for obj, name in zip(objects, named, strict=True)]
        for name in sorted(labelled):
            found += from_secret(self._contents[name]) if name in self._contents else []
        for config_map in self._maps.store.values():
            found += from_config_map(config_map)
        result, remarks = merge(found)
        if tuple(remarks) != self._remarks:
            self._remarks = tuple(remarks)
            for remark in remarks:
                log.warning("member cluster left out", why=remark)
        return result

    async def _read(self, names: set[str]) -> None:
        """Read the Secrets whose version isn't the one that we have, and forget the others."""
        for name in self._contents.keys() - names:
            del self._contents[name]
        for name in names:
            meta = self._secrets.store.get((self._namespace, name))
            if meta is None:
                self._contents.pop(name, None)
                continue
            known = self._contents.get(name)
            if known is None or known["metadata"]["resourceVersion"] != meta["metadata"]["resourceVersion"]:
                await self._fetch(name)

    async def _fetch(self, name: str) -> None:
        try:
            self._contents[name] = await self._api.get(SECRETS, name, self._namespace)
        except NotFound:
            self._contents.pop(name, None)
        except ApiError as error:
            log.warning("secret of a member can't be read", name=name, error=str(error))
            raise

    def _note(self, _type: str, obj: dict[str, Any], _previous: dict[str, Any] | None) -> None:
        del obj
        self._changed()


def _plain(
    name: str,
    source: str,
    text: bytes | None,
    meta: Mapping[str, Any],
    place: Place,
    problem: tuple[TrafficReason, str] | None,
) -> Definition:
    created = meta.get("creationTimestamp") or ""
    return Definition(name, source, text, place=place, created=created, problem=problem)


def _value(
    secret: Mapping[str, Any] | None, name: str, key: str
) -> tuple[bytes | None, tuple[TrafficReason, str] | None]:
    if secret is None:
        text = f"there is no Secret {name} in the operator's namespace"
        return None, (TrafficReason.KUBECONFIG_NOT_FOUND, text)
    raw = (secret.get("data") or {}).get(key)
    if not raw:
        return None, (TrafficReason.KUBECONFIG_NOT_FOUND, f"Secret {name} has no key {key}")
    try:
        return base64.b64decode(raw, validate=True), None
    except (binascii.Error, ValueError):
        return None, (TrafficReason.KUBECONFIG_INVALID, f"key {key} of Secret {name} isn't base64")


def _place(labels: Mapping[str, str]) -> Place:
    return Place(labels.get(REGION_LABEL, ""), labels.get(ZONE_LABEL, ""), labels.get(NETWORK_LABEL, ""))
