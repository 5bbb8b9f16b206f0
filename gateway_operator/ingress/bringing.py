"""Brings a build to nginx: data to the running workers, files by a reload, in an order without a gap.

Data whose files the running generation has goes at once. A new generation also keeps the files that data still in use
needs, so that old and new data both find theirs while it is taken; what nobody needs goes with the next reload. Data
that needs new files goes when workers serve them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

from gateway_operator.ingress.building import Built
from gateway_operator.ingress.data_socket import Away, Full
from gateway_operator.ingress.delivery import Delivery
from gateway_operator.ingress.pace import Pace
from gateway_operator.ingress.supervised import GenerationRefused, NginxStatus, Supervised, generation_name
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

# Files that harm nobody when they stay: a profile that no data names, a certificate that no text names.
ADDED = ("profiles/", "pools/", "passwords/", "ca/", "certs/")


@dataclass(frozen=True)
class Brought:
    """What came of it. `wait` is how long files have to wait; `full` is the key that found no memory."""

    generation: str
    wait: float = 0.0
    full: str = ""
    reload_milliseconds: int | None = None


class Bringing:
    """Knows what the running generation consists of."""

    def __init__(self, supervised: Supervised, delivery: Delivery) -> None:
        self._supervised = supervised
        self._delivery = delivery
        self._pace = Pace()
        self._name: str | None = None
        self._files: Mapping[str, bytes] = {}
        self._needs: Mapping[str, frozenset[str]] | None = None  # of the data in nginx; None where nobody knows
        self._life = ""

    def until_next_reload(self) -> float:
        """Return for how many seconds no reload may happen."""
        return self._pace.until_next()

    async def bring(self, built: Built, nginx: NginxStatus, *, at_once: bool) -> Brought:
        """Bring a build; raises GenerationRefused, SupervisorAway, Away or another DataError.

        `at_once` skips the wait for the end of a burst.
        """
        await self._look(nginx)
        rendered = built.rendered
        added = ADDED if rendered.data else ()
        if self._name and nginx.last_good == self._name and self._serves(rendered.files, added):
            self._pace.settled()
            return Brought(self._name, full=await self._send(rendered.data, rendered.needs))
        kept = self._kept() if rendered.data else {}
        await self._send_what_fits(built)  # what finds no memory now may find it after the reload
        wait = 0.0 if at_once else self._pace.wait(generation_name(kept | dict(rendered.files)))
        if wait:
            return Brought(self._name or "", wait)
        return await self._reload_and_send(built, kept)

    async def _reload_and_send(self, built: Built, kept: Mapping[str, bytes]) -> Brought:
        rendered = built.rendered
        try:
            name, took = await self._reload({**kept, **rendered.files}, built)
        except GenerationRefused as refused:
            if refused.stage != "test" or not kept.keys() - rendered.files.keys():
                raise
            log.warning("nginx refuses files of the last generation beside the new ones", stderr=refused.stderr)
            name, took = await self._reload(rendered.files, built)
        full = await self._send(rendered.data, rendered.needs)
        return Brought(name, full=full, reload_milliseconds=took)

    async def _look(self, nginx: NginxStatus) -> None:
        """Follow what the supervisor says: another master lost its data, another generation has other files."""
        if nginx.life != self._life:
            self._life = nginx.life
            self._delivery.doubt()
        if nginx.current != self._name:
            self._files = await asyncio.to_thread(self._supervised.read, nginx.current)
            self._name = nginx.current if self._files else None
            self._needs = None

    def _serves(self, wanted: Mapping[str, bytes], added: tuple[str, ...]) -> bool:
        """Tell whether the running files are the wanted ones, but for some that may stay."""
        extra = [name for name in self._files if name not in wanted]
        return all(name.startswith(added) for name in extra) and all(
            self._files.get(name) == content for name, content in wanted.items()
        )

    def _kept(self) -> dict[str, bytes]:
        """Return the running files that the data in nginx needs."""
        if self._needs is None:
            return {name: content for name, content in self._files.items() if name.startswith(ADDED)}
        needed = frozenset[str]().union(*self._needs.values())
        return {name: content for name, content in self._files.items() if name in needed}

    async def _send(self, data: Mapping[str, bytes], needs: Mapping[str, frozenset[str]]) -> str:
        """Bring data and return the key that found no memory; a renderer without data has nothing to send."""
        if not data:
            return ""
        try:
            await self._delivery.bring(data)
        except Full as error:
            return error.key
        self._needs = needs
        return ""

    async def _send_what_fits(self, built: Built) -> None:
        """Send ahead of a reload what the running workers have the files for; nothing is deleted yet."""
        data, needs = built.rendered.data, built.rendered.needs
        if not data or not self._delivery.reachable:
            return
        known = self._delivery.data
        held = {key for key, files in needs.items() if not files <= self._files.keys()}
        ready = {key: value for key, value in data.items() if key not in held}
        wanted = {**known, **ready} if held else data
        merged = {**(self._needs or {}), **{key: needs[key] for key in needs if key not in held}}
        with contextlib.suppress(Away):  # it is asked again after the reload
            await self._send(wanted, merged if held else needs)

    async def _reload(self, files: Mapping[str, bytes], built: Built) -> tuple[str, int]:
        name = await asyncio.to_thread(self._supervised.write, files, built.compiled.index)
        if built.rendered.data:
            await self._delivery.prepare(built.rendered.data)
        began = time.monotonic()
        reloaded = True
        try:
            await self._supervised.apply(name)
        except GenerationRefused as refused:
            reloaded = refused.stage != "test"
            raise
        finally:
            if reloaded:
                self._pace.reloaded()
                self._delivery.doubt()
        self._name, self._files = name, files
        nginx = await self._supervised.status()
        self._life = nginx.life
        keep = {name, nginx.current or name, nginx.last_good or name}
        await asyncio.to_thread(self._supervised.prune, keep)
        took = round(1000 * (time.monotonic() - began))
        log.info("configuration applied", generation=name, hosts=len(built.graph.hosts) - 1, milliseconds=took)
        return name, took
