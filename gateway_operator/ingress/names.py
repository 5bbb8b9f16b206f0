"""DNS names that backends and authentication services have, resolved by the controller and never by nginx.

nginx resolves a name once, when it reads its configuration, and refuses all of it when the name doesn't exist. Here a
name is asked for again and again, a failing answer leaves the last good one, and no address that backends may not have
gets through.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable

from gateway_operator.networks import is_routable
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

AGAIN = 30.0
LONGEST = 5.0
AT_ONCE = 8
MOST = 1000

Answer = Callable[[str], Awaitable[tuple[str, ...]]]


async def system_answer(name: str) -> tuple[str, ...]:
    """Ask the system's resolver; OSError when it has no answer."""
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(sorted({str(item[4][0]) for item in found}))


class Names:
    """Keeps the addresses of the names that are followed; `wake` is called when they change."""

    def __init__(self, wake: Callable[[], None], *, answer: Answer = system_answer, again: float = AGAIN) -> None:
        self.addresses: dict[str, tuple[str, ...]] = {}
        self._wake = wake
        self._answer = answer
        self._again = again
        self._followed: frozenset[str] = frozenset()
        self._asked: set[str] = set()
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def follow(self, names: Iterable[str]) -> bool:
        """Resolve exactly these; returns whether any of them is new."""
        wanted = frozenset(sorted(set(names))[:MOST])
        new = wanted - self._followed
        for name in self._followed - wanted:
            self.addresses.pop(name, None)
            self._asked.discard(name)
        self._followed = wanted
        if new:
            self._changed.set()
        return bool(new)

    async def arrived(self) -> None:
        """Wait until each name has been asked for once."""
        while self._followed - self._asked:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def run(self) -> None:
        """Resolve until cancelled: new names at once, all of them every half minute."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._again
        while True:
            try:
                async with asyncio.timeout_at(due):
                    await self._changed.wait()
            except TimeoutError:
                due = loop.time() + self._again
                self._asked.clear()
            self._changed.clear()
            await asyncio.gather(*(self._ask(name) for name in sorted(self._followed - self._asked)))

    async def _ask(self, name: str) -> None:
        try:
            async with self._slots, asyncio.timeout(LONGEST):
                found = tuple(address for address in await self._answer(name) if is_routable(address))
        except (OSError, UnicodeError, TimeoutError) as error:
            log.warning("a name can't be resolved", name=name, error=str(error))
            found = self.addresses.get(name, ())
        self._asked.add(name)
        if name in self._followed and found != self.addresses.get(name, ()):
            self.addresses[name] = found
            self._wake()
