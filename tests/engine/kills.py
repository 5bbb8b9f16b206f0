"""Kills the operator at random points of install, upgrade and uninstall, and looks at what is left: T37 and bench.

Each kill is a row: what was asked for, whether a helm was at work, how long the next operator took to make everything
right, and what is wrong afterwards (objects of no release, missing objects, pending records), which must be nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway_operator.errors import NotFound
from gateway_operator.kube import Api
from gateway_operator.releases.records import decode_payload
from lab.apiserver import ApiCluster
from tests.engine.operators import Operator
from tests.engine.profiles import OURS, Profile
from tests.engine.scenes import Scene, Stage, is_true

PHASES = ("install", "upgrade", "uninstall")
OBJECTS = 40  # ConfigMaps of a release, so that helm takes its time
# what a kill waits for, with the seconds that it comes later, at most: helm's start, its record, or nothing
AIMS = {"helm": 0.7, "record": 0.3, "": 2.5}
WEIGHTS = (4, 4, 2)
WAIT = 60.0
CONVERGED = 120.0  # then a row says that it never did
RBAC = "rbac.authorization.k8s.io/v1"
KINDS = (
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    (RBAC, "Role"),
    (RBAC, "RoleBinding"),
    (RBAC, "ClusterRole"),
    ("networking.k8s.io/v1", "IngressClass"),
)


@dataclass
class Kill:
    """One kill and what came of it; `seconds` is from the restart to all being right, None for never."""

    number: int
    seed: int
    phase: str
    resource: str = ""
    aim: str = ""
    after: float = 0.0
    helm_alive: bool = False
    record: str = ""
    helm_died: bool = True
    seconds: float | None = None
    revisions: int = 0  # that the change took
    wrong: list[str] = field(default_factory=list)


async def run_kills(
    count: int,
    seed: int,
    *,
    cluster: ApiCluster,
    helm: Path,
    folder: Path,
    profile: Profile = OURS,
    alive_each: int = 0,
) -> list[dict[str, Any]]:
    """Kill `count` times, phases in turn and all else by chance; returns the rows.

    Then each phase in which a helm was at work fewer than `alive_each` times has more kills, as far as three for each
    that was missing. `folder` is for files of the run. Each kill takes about five seconds.
    """
    stage = Stage(cluster, profile, folder, helm)
    stage.define("Web")
    api = await Api.connect(cluster.kubeconfig)
    try:
        scene = Scene(api, stage)
        await scene.create("v1", "Namespace", scene.namespace, namespace=None)
        operator = stage.operate(stage.row("Web"), selected=(scene.namespace,))
        operator.start()
        killer = _Killer(scene, operator, random.Random(seed))
        kills = [await killer.kill(Kill(number, seed, phase)) for number, phase in _plan(count)]
        for phase in PHASES:
            missing = alive_each - sum(k.helm_alive for k in kills if k.phase == phase)
            for _ in range(3 * missing):
                if sum(k.helm_alive for k in kills if k.phase == phase) < alive_each:
                    kills.append(await killer.kill(Kill(len(kills) + 1, seed, phase)))
        return [asdict(kill) for kill in kills]
    finally:
        stage.close()
        await api.close()


def _plan(count: int) -> list[tuple[int, str]]:
    return [(number, PHASES[(number - 1) % len(PHASES)]) for number in range(1, count + 1)]


class _Killer:
    """The resources that are there, and what they should be."""

    def __init__(self, scene: Scene, operator: Operator, chance: random.Random) -> None:
        self._scene = scene
        self._operator = operator
        self._chance = chance
        self._texts: dict[str, str] = {}
        self._made = 0

    async def kill(self, kill: Kill) -> Kill:
        """Ask for a change, kill, start again, wait, look."""
        kill.resource = self._pick(kill.phase)
        [kill.aim] = self._chance.choices([*AIMS], WEIGHTS)
        kill.after = round(self._chance.uniform(0, AIMS[kill.aim]), 3)
        before = await self._newest(kill.resource)
        calls = len(self._calls(kill.resource))
        await self._ask(kill)
        if kill.aim:
            await self._at_work(kill, calls)
        await asyncio.sleep(kill.after)
        pids = [call.pid for call in self._calls(kill.resource)[calls:]]
        kill.record = await self._status(kill.resource)
        kill.helm_alive = any(map(alive, pids)) if self._operator.profile.runs_helm else "ing" in kill.record
        await asyncio.to_thread(self._operator.stop, kill=True)
        kill.helm_died = await _gone(pids)
        started = time.monotonic()
        self._operator.spawn()
        kill.wrong = await self._settle(started, kill)
        kill.revisions = await self._newest(kill.resource) - before if kill.phase == "upgrade" else 0
        return kill

    def _pick(self, phase: str) -> str:
        if phase == "install" or not self._texts:
            self._made += 1
            return f"web-{self._made}"
        return self._chance.choice(sorted(self._texts))

    async def _ask(self, kill: Kill) -> None:
        name = kill.resource
        if kill.phase == "uninstall":
            del self._texts[name]
            await self._scene.delete(self._scene.api_version, "Web", name)
            return
        text = f"text {kill.number}"
        if name in self._texts:
            await self._scene.change("Web", name, {"text": text, "count": OBJECTS + kill.number % 3})
        else:
            await self._scene.custom("Web", name, {"text": text, "count": OBJECTS, "cluster": True, "access": True})
        self._texts[name] = text

    def _calls(self, name: str) -> list[Any]:
        return self._scene.stage.shim.calls(name)

    async def _at_work(self, kill: Kill, calls: int) -> None:
        """Wait until helm has begun on this release, or has told so in its record."""
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            if kill.aim == "record" or not self._operator.profile.runs_helm:
                if "ing" in await self._status(kill.resource):
                    return
            elif any(alive(call.pid) for call in self._calls(kill.resource)[calls:]):
                return
            await asyncio.sleep(0.01)

    async def _status(self, name: str) -> str:
        """The state of a release: pending-..., uninstalling, deployed, failed or nothing."""
        found = await self._scene.revisions(name)
        return found[-1][1] if found else ""

    async def _newest(self, name: str) -> int:
        found = await self._scene.revisions(name)
        return found[-1][0] if found else 0

    async def _settle(self, started: float, kill: Kill) -> list[str]:
        """Wait until nothing is wrong; returns what still is when the patience ends."""
        wrong: list[str] = []
        while time.monotonic() - started < CONVERGED:
            wrong = await self._pending()
            if not wrong:
                kill.seconds = round(time.monotonic() - started, 2)
                return await self._misplaced()
            await asyncio.sleep(0.1)
        return [*wrong, *await self._misplaced()]

    async def _pending(self) -> list[str]:
        """What is not yet as it should be."""
        webs = await self._scene.api.resource(self._scene.api_version, "Web")
        there = {o["metadata"]["name"]: o for o in (await self._scene.api.list(webs, self._scene.namespace)).items}
        wrong = [f"{name} should be gone" for name in there.keys() - self._texts.keys()]
        for name, text in self._texts.items():
            if not is_true(there[name], "Deployed") or is_true(there[name], "ReleaseFailed"):
                wrong.append(f"{name} is not deployed")
            elif (state := await self._status(name)) != "deployed":
                wrong.append(f"{name} is {state or 'without record'}")
            elif await self._text(name) != text:
                wrong.append(f"{name} has not the text it should")
        return wrong

    async def _text(self, name: str) -> str:
        try:
            return await self._scene.text(name)
        except NotFound:
            return ""

    async def _misplaced(self) -> list[str]:
        """Compare what the records say with what is there, all kinds of the chart."""
        wanted = set()
        wrong = []
        for name in self._texts:
            records = await self._scene.records(name)
            wrong += [f"{name} is {r}" for _, r in await self._scene.revisions(name) if r.startswith("pending")]
            for obj in yaml.safe_load_all(decode_payload(records[-1])["manifest"]) if records else ():
                wanted.add((obj["kind"], obj["metadata"]["name"]))
        found = {pair async for pair in self._objects()}
        wrong += [f"{kind} {name} belongs to no release" for kind, name in sorted(found - wanted)]
        return wrong + [f"{kind} {name} is missing" for kind, name in sorted(wanted - found)]

    async def _objects(self) -> Any:
        for api_version, kind in KINDS:
            resource = await self._scene.api.resource(api_version, kind)
            where = self._scene.namespace if resource.namespaced else None
            listing = await self._scene.api.list(
                resource, where, label_selector="app.kubernetes.io/managed-by=Helm", metadata_only=True
            )
            for obj in listing.items:
                annotations = obj["metadata"].get("annotations") or {}
                if annotations.get("meta.helm.sh/release-namespace") == self._scene.namespace:
                    yield kind, obj["metadata"]["name"]


def alive(pid: int) -> bool:
    """Tell whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def _gone(pids: list[int]) -> bool:
    for _ in range(1000):
        if not any(map(alive, pids)):
            return True
        await asyncio.sleep(0.03)
    return False
