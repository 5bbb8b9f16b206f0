"""Finds out whose text nginx refuses, so that one bad object costs only itself, and many bad ones cost nobody time.

The first whom nginx's words lead to is left out at once, and who changed beside it is judged in small configurations
that have nobody else and are never served. Where many are bad, all that changed since nginx last took a configuration
wait, in the form that it took, so that everybody else goes on; they are judged a few at a time between passes. Where
words lead nowhere, the gateway's own ConfigMap is suspected, and halving finds the Ingress.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway_operator.ingress.building import Building, Built
from gateway_operator.ingress.plan import Machine
from gateway_operator.ingress.problems import Ref
from gateway_operator.ingress.quarantine import Quarantine, blame, find_by_halving, uid_of, version_of
from gateway_operator.ingress.snapshot import Object, Snapshot
from gateway_operator.ingress.supervised import GenerationRefused, Supervised
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

AT_ONCE = 64  # Ingresses that are judged together
FOUND_AT_ONCE = 4  # bad ones found between two passes


@dataclass(frozen=True)
class Circumstances:
    """What a build is made from besides its Ingresses."""

    snapshot: Snapshot
    machine: Machine
    ref: Ref


class Culprits:
    """Judges refused builds, and puts aside who is guilty."""

    def __init__(self, building: Building, supervised: Supervised, quarantine: Quarantine) -> None:
        self._building = building
        self._supervised = supervised
        self._quarantine = quarantine
        self._taken: Snapshot | None = None  # what nginx took last, as it was built
        self._left_out: frozenset[str] = frozenset()
        self._passed: dict[str, str] = {}  # versions that were judged good by themselves

    def taken(self, snapshot: Snapshot) -> None:
        """Note that nginx has what these objects ask for, but for those that wait or are left out."""
        ingresses, self._left_out = self._quarantine.admitted(snapshot.ingresses)
        self._taken = snapshot if ingresses is snapshot.ingresses else replace(snapshot, ingresses=ingresses)
        if not self._quarantine.waits:
            self._passed.clear()

    async def put_aside(self, now: Circumstances, built: Built, stderr: str, *, again: bool) -> bool:
        """Leave out who made nginx refuse, or let suspects wait; False when nobody is found.

        `again` says that somebody was put aside in this pass already.
        """
        ingresses, left_out = self._quarantine.admitted(now.snapshot.ingresses)
        served = {uid_of(obj): obj for obj in ingresses if uid_of(obj) not in left_out}
        current = {uid_of(obj): obj for obj in now.snapshot.ingresses}
        guilty = blame(built.compiled, built.rendered, stderr)
        if guilty in served and not again:
            self._hold(current[guilty], stderr)
            await self._judge_changed(now, served)
            return True
        if not guilty and self._config_changed(now.snapshot) and self._building.suspect_config(now.snapshot, stderr):
            return True
        if self._let_wait(served) or (self._taken is None and await self._judge_all(now, self._suspects(served))):
            return True
        if not guilty:
            if self._building.suspect_config(now.snapshot, stderr):
                return True
            guilty = await self._halve(now, served)
            if guilty:
                self._building.clear_config()
        if guilty not in served:
            return False
        self._hold(current[guilty], stderr)
        return True

    def _config_changed(self, snapshot: Snapshot) -> bool:
        taken = self._taken
        return taken is None or (taken.config, taken.configmaps) != (snapshot.config, snapshot.configmaps)

    def _good(self) -> dict[str, Object]:
        """Return by UID the Ingresses that nginx took last, in the form of then."""
        found = self._taken.ingresses if self._taken else ()
        return {uid_of(obj): obj for obj in found if uid_of(obj) not in self._left_out}

    def _suspects(self, served: Mapping[str, Object]) -> list[Object]:
        """Return those that changed since nginx last took a configuration, and that aren't known to be good or bad."""
        versions = {uid: version_of(obj) for uid, obj in self._good().items()} | self._passed
        changed = [obj for uid, obj in served.items() if versions.get(uid) != version_of(obj)]
        return [obj for obj in changed if not self._quarantine.holds(uid_of(obj))]

    def _let_wait(self, served: Mapping[str, Object]) -> bool:
        suspects = self._suspects(served) if self._taken is not None else []
        good = self._good() if suspects else {}
        for obj in suspects:
            self._quarantine.let_wait(obj, good.get(uid_of(obj)))
        if suspects:
            log.warning("nginx refuses several Ingresses: those that changed wait until judged", count=len(suspects))
        return bool(suspects)

    async def _judge_changed(self, now: Circumstances, served: Mapping[str, Object]) -> None:
        """Judge what changed together with a bad one, where that is little; what isn't judged soon has to wait."""
        suspects = self._suspects(served) if self._taken is not None else []
        if suspects and len(suspects) <= AT_ONCE and await self._judge(now, suspects, FOUND_AT_ONCE) == FOUND_AT_ONCE:
            self._let_wait(served)

    async def judge_waiting(self, now: Circumstances) -> bool:
        """Judge some of those that wait; False when nobody does."""
        waiting = self._quarantine.waiting(now.snapshot.ingresses)
        if not waiting:
            return False
        await self._judge(now, waiting[:AT_ONCE], FOUND_AT_ONCE)
        return True

    async def _judge_all(self, now: Circumstances, suspects: Sequence[Object]) -> bool:
        """Judge everybody, where nothing is known to be good; True when somebody is left out."""
        found = 0
        for first in range(0, len(suspects), AT_ONCE):
            part = suspects[first : first + AT_ONCE]
            found += await self._judge(now, part, len(part))
        return bool(found)

    async def _judge(self, now: Circumstances, suspects: Sequence[Object], most: int) -> int:
        """Leave out the bad ones of a few Ingresses, `most` of them, admit the others when all is said; count them."""
        objects = {uid_of(obj): obj for obj in suspects}
        async with self._trials(now) as trials:
            for found in range(most + 1):
                guilty, stderr = await trials.guilty(objects)
                if guilty not in objects:
                    for uid, obj in objects.items():
                        self._passed[uid] = version_of(obj)
                        self._quarantine.admit(uid)
                    return found
                if found < most:
                    self._hold(objects.pop(guilty), stderr)
        return most

    async def _halve(self, now: Circumstances, served: Mapping[str, Object]) -> str:
        async with self._trials(now) as trials:
            if await trials.refuses(()):
                return ""
            return await find_by_halving(sorted(served), lambda kept: trials.refuses([served[uid] for uid in kept]))

    @contextlib.asynccontextmanager
    async def _trials(self, now: Circumstances) -> AsyncIterator[Trials]:
        """Give trials whose files go afterwards: they may hold keys."""
        yield Trials(now, self._building.another(), self._supervised)
        nginx = await self._supervised.status()
        await asyncio.to_thread(self._supervised.prune, {name for name in (nginx.current, nginx.last_good) if name})

    def _hold(self, obj: Object, stderr: str) -> None:
        log.error("nginx refuses an Ingress, it is left out", ingress=str(Ref.of(obj, "", "")), stderr=stderr)
        self._quarantine.hold(obj, stderr)


class Trials:
    """Configurations with some Ingresses only, judged by `nginx -t` and never served."""

    def __init__(self, now: Circumstances, building: Building, supervised: Supervised) -> None:
        self._now = now
        self._building = building
        self._supervised = supervised

    async def guilty(self, objects: Mapping[str, Object]) -> tuple[str, str]:
        """Return one that nginx refuses and its words; "" when it takes them, or refuses even nobody."""
        built, stderr = await self._try(list(objects.values()))
        if not stderr:
            return "", ""
        guilty = blame(built.compiled, built.rendered, stderr)
        if guilty not in objects and not await self.refuses(()):
            guilty = await find_by_halving(sorted(objects), lambda kept: self.refuses([objects[uid] for uid in kept]))
        return guilty, stderr

    async def refuses(self, objects: Sequence[Object]) -> bool:
        """Tell whether nginx refuses a configuration that has nobody else."""
        return bool((await self._try(objects))[1])

    async def _try(self, objects: Sequence[Object]) -> tuple[Built, str]:
        now = self._now
        alone = replace(now.snapshot, ingresses=tuple(objects), tcp={}, udp={}, splits=None)
        built = await asyncio.to_thread(self._building.build, alone, now.machine, now.ref, frozenset())
        name = await asyncio.to_thread(self._supervised.write, built.rendered.files, built.compiled.index)
        try:
            await self._supervised.test(name)
        except GenerationRefused as refused:
            if refused.stage != "test":
                raise
            return built, refused.stderr or str(refused)
        return built, ""
