"""`gateway-operator explain`: who answers a request, which clusters get how much of such, why, and since when it holds.

Over the cluster it shows what the operator last said of the winner; over files what the policies alone say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway_operator.clusters.evaluation import Place
from gateway_operator.clusters.explaining import Match, match, reasons, rows, supposed
from gateway_operator.clusters.grants import HOSTS_ANNOTATION, SERVICES_ANNOTATION, grants_of, may_use
from gateway_operator.clusters.members import from_object
from gateway_operator.clusters.policies import DEFAULT, Policy, read
from gateway_operator.clusters.splitting import settle_all
from gateway_operator.commands.output import say, say_json, table
from gateway_operator.commands.session import Session
from gateway_operator.crds.conditions import condition_of
from gateway_operator.crds.traffic import API_VERSION, TrafficCondition
from gateway_operator.errors import ConfigError, KindNotServed
from gateway_operator.kube import Api
from gateway_operator.traffic.gateways import Gateway, gateway_of

Object = dict[str, Any]
_HEADS = ("CLUSTER", "DESIRED", "EFFECTIVE", "READY", "STATE", "REASON")
_KINDS = {
    "ClusterTrafficPolicy": API_VERSION,
    "MemberCluster": API_VERSION,
    "Nginx": "gateway.kubesphere.io/v1alpha1",
    "Namespace": "v1",
}


@dataclass(frozen=True)
class World:
    """Everything that decides, by kind; `live` says whether statuses are worth something."""

    objects: Mapping[str, Sequence[Object]]
    live: bool = False

    def of(self, kind: str) -> Sequence[Object]:
        """Return the objects of a kind."""
        return self.objects.get(kind, ())


@dataclass(frozen=True)
class Answer:
    """What one gateway does with the request; `gateway` is empty where none is known."""

    gateway: str
    policy: str = ""
    where: str = ""
    rule: str = ""
    service: str = ""
    why: tuple[str, ...] = ()
    clusters: tuple[dict[str, Any], ...] = ()
    acknowledged: str = ""
    problems: tuple[str, ...] = field(default=())
    rivals: tuple[str, ...] = ()  # who wants the path, too, and doesn't get it


async def run(session: Session, host: str, path: str, files: Sequence[Path], here: Place) -> int:
    """Print who answers; returns 1 when no policy does, else 0."""
    if not path.startswith("/"):
        raise ConfigError(f"the path must begin with a slash, not {path!r}")
    if files:
        world = World(_read(files, session.where()))
    else:
        async with session.connected() as api:
            world = await _look(api)
    found = answers(world, host, path.partition("?")[0], here)
    if session.json:
        say_json({"host": host, "path": path, "answers": [vars(answer) for answer in found]})
    else:
        say("\n\n".join(_text(answer, host, path) for answer in found))
    return 0 if any(answer.policy for answer in found) else 1


def answers(world: World, host: str, path: str, here: Place = Place()) -> list[Answer]:  # noqa: B008 - frozen
    """Return what each gateway does. Pure."""
    objects = {(o["metadata"]["namespace"], o["metadata"]["name"]): o for o in world.of("ClusterTrafficPolicy")}
    services, hosts = (grants_of(name, world.of("Namespace")) for name in (SERVICES_ANNOTATION, HOSTS_ANNOTATION))
    policies = [read(obj, may_use(services)) for obj in objects.values()]
    gateways = [gateway_of(obj) for obj in world.of("Nginx")]
    places = {o["metadata"]["name"]: from_object(o, None).place for o in world.of("MemberCluster")}
    settled = settle_all(policies, gateways, hosts)
    groups: list[tuple[Gateway | None, Sequence[Policy]]] = [(g, settled.by_gateway[g.key]) for g in gateways]
    found = []
    for gateway, served in groups or [(None, settled.policies)]:
        winner = match(served, host, path)
        name = str(gateway) if gateway else ""
        found.append(_answer(name, winner, objects, world, places, here) if winner else Answer(name))
    return found


def _answer(
    gateway: str,
    winner: Match,
    objects: Mapping[tuple[str, str], Object],
    world: World,
    places: Mapping[str, Place],
    here: Place,
) -> Answer:
    policy, rule = winner.policy, winner.rule
    obj, backend = objects[policy.key], rule.backend
    said = _said(obj, winner) if world.live else None
    if said is not None:
        clusters = tuple(said.get("clusters") or ())
    else:
        clusters = tuple(rows(supposed(backend, places, here))) if backend else ()
    what = "the default backend" if rule.path_type == DEFAULT else f"{rule.path_type} {rule.path}"
    return Answer(
        gateway=gateway,
        policy=str(policy),
        where=rule.where,
        rule=f"{what} of {rule.host or 'all other hosts'}" if rule.path_type != DEFAULT else what,
        service=str(backend.service) if backend else "",
        why=tuple(reasons(backend)) if backend else ("what it says of its backend is refused: it answers 503",),
        clusters=clusters,
        acknowledged=_acknowledged(obj) if world.live else "",
        problems=tuple(map(str, policy.problems)),
        rivals=tuple(dict.fromkeys((*_lost(winner), *((said or {}).get("conflictsWith") or ())))),
    )


def _lost(winner: Match) -> list[str]:
    return [who for where, who in winner.policy.contests if where == winner.rule.where]


def _said(obj: Object, winner: Match) -> Mapping[str, Any] | None:
    """Return what the status says of a path."""
    rule = winner.rule
    type_ = None if rule.path_type == DEFAULT else rule.path_type
    wanted = (rule.host, rule.path, type_)
    backends = (obj.get("status") or {}).get("backends") or ()
    return next((b for b in backends if (b.get("host"), b.get("path"), b.get("pathType")) == wanted), None)


def _acknowledged(obj: Object) -> str:
    condition = condition_of(obj, TrafficCondition.PROGRAMMED)
    if not condition:
        return "not known: the operator hasn't said"
    current = condition.get("observedGeneration") == obj["metadata"].get("generation")
    word = "yes" if condition.get("status") == "True" and current else "no"
    text = str(condition.get("message"))
    return f"{word}: {text}" if current else f"{word}: what was said last is about an older spec ({text})"


async def _look(api: Api) -> World:
    found: dict[str, Sequence[Object]] = {}
    for kind, api_version in _KINDS.items():
        try:
            found[kind] = (await api.list(await api.resource(api_version, kind))).items
        except KindNotServed:
            found[kind] = ()
    return World(found, live=True)


def _read(files: Sequence[Path], namespace: str) -> dict[str, list[Object]]:
    """Read the objects of YAML files. Raises ConfigError."""
    found: dict[str, list[Object]] = {}
    for file in files:
        try:
            documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{file}: can't be read as YAML: {error}") from error
        for document in documents:
            items = document.get("items", [document]) if isinstance(document, dict) else []
            for obj in items:
                if isinstance(obj, dict) and obj.get("kind") in _KINDS and isinstance(obj.get("metadata"), dict):
                    obj["metadata"].setdefault("namespace", namespace)
                    found.setdefault(obj["kind"], []).append(obj)
    if not found.get("ClusterTrafficPolicy"):
        raise ConfigError(f"there is no ClusterTrafficPolicy in {', '.join(map(str, files))}")
    return found


def _text(answer: Answer, host: str, path: str) -> str:
    at = f"gateway {answer.gateway}: " if answer.gateway else ""
    if not answer.policy:
        return f"{at}no policy has {host}{path}; an Ingress may, else it gets 404"
    lines = [f"{at}{host}{path} is answered by {answer.policy}, {answer.where} ({answer.rule})"]
    lines += [f"  service       {answer.service}"] if answer.service else []
    lines += [f"  because       {text}" for text in answer.why]
    lines += [f"  older than    {name}, which wants it, too" for name in answer.rivals]
    lines += [f"  acknowledged  {answer.acknowledged}"] if answer.acknowledged else []
    lines += [f"  problem       {text}" for text in answer.problems]
    keys = ("name", "desired", "effective", "ready", "state", "reason")
    if answer.clusters:
        text = table(_HEADS, [tuple(one.get(key, "") for key in keys) for one in answer.clusters])
        lines += ["", *(f"  {line}" for line in text.splitlines())]
    return "\n".join(lines)
