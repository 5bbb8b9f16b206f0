"""Finds out whose text nginx refuses, so that one bad object costs only itself.

First what nginx's words lead to, then the gateway's own ConfigMap, then halving: each trial is a configuration with
some Ingresses only, judged by `nginx -t` and never served.
"""

from __future__ import annotations

import asyncio

from gateway_operator.ingress.building import Building, Built
from gateway_operator.ingress.plan import Machine
from gateway_operator.ingress.problems import Ref
from gateway_operator.ingress.quarantine import Quarantine, blame, find_by_halving
from gateway_operator.ingress.snapshot import Snapshot
from gateway_operator.ingress.supervised import GenerationRefused, Supervised
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)


class Culprits:
    """Judges refused builds and puts aside who is guilty."""

    def __init__(self, building: Building, supervised: Supervised, quarantine: Quarantine) -> None:
        self._building = building
        self._supervised = supervised
        self._quarantine = quarantine

    async def put_aside(self, snapshot: Snapshot, machine: Machine, ref: Ref, built: Built, stderr: str) -> bool:
        """Leave out who made nginx refuse; False when nobody is found."""
        objects = {obj["metadata"].get("uid", ""): obj for obj in snapshot.ingresses}
        guilty = blame(built.compiled, built.rendered, stderr)
        if not guilty:
            if self._building.suspect_config(snapshot, stderr):
                return True

            async def fails_with_only(kept: frozenset[str]) -> bool:
                return await self._refuses(snapshot, machine, ref, frozenset(objects) - kept)

            guilty = await find_by_halving(sorted(objects), fails_with_only)
            if guilty:
                self._building.clear_config()
        if guilty not in objects:
            return False
        name = str(Ref.of(objects[guilty], "", ""))
        log.error("nginx refuses an Ingress, it is left out", ingress=name, stderr=stderr)
        self._quarantine.hold(objects[guilty], stderr)
        return True

    async def _refuses(self, snapshot: Snapshot, machine: Machine, ref: Ref, left_out: frozenset[str]) -> bool:
        trial = await asyncio.to_thread(self._building.build, snapshot, machine, ref, left_out)
        name = await asyncio.to_thread(self._supervised.write, trial.rendered.files, trial.compiled.index)
        try:
            await self._supervised.test(name)
        except GenerationRefused:
            return True
        return False
