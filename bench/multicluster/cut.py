"""What does a silent cut of a member cost, and how soon has it its share again?

Two hundred GET requests a second, whatever becomes of those before; then every packet to and from the member's pods is
dropped, nobody is told, and some seconds later all is as before.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass

from bench.multicluster.clusters import Member, Plan, host_of
from bench.multicluster.drops import dropped
from bench.multicluster.setup import Setup
from bench.parts import tell
from bench.results import Part, row
from lab.load import Answer, Steady, Way

_RATE = 200.0
_FIRST = 1.0  # seconds in which a gateway may learn of a cut
_AFTER, _EARLIER, _BACK = 1.2, 3.0, 2.0  # marks, seconds
_CUT, _CALM = 6.0, 6.0
_WINDOW = 1.0  # seconds of answers by which shares are judged
_SIGMAS = 4.0


@dataclass(frozen=True)
class _Seen:
    """Of one cut: slowest requests, failures, and seconds until the shares were right again."""

    earlier: float
    after: float
    failed: int
    back: float


async def measure(setup: Setup) -> Part:
    """Cut one of two members off, several times."""
    services = 1
    async with setup.served(Plan(2, 2, services)) as (fleet, gateway):
        way = Way("127.0.0.1", gateway.http, host_of(fleet.plan.namespaces[0], 0))
        seen = [await _cut(way, fleet.members[1], services) for _ in range(setup.pick(5, 1))]
    tell(str(seen))
    what = "silent cut of a member, 200 requests/s"
    rows = (
        row(f"{what}: slowest of those sent before, and up to a second after it", "s", max(s.earlier for s in seen),
            mark=_EARLIER),
        row(f"{what}: slowest of those sent later", "s", max(s.after for s in seen), mark=_AFTER),
        row(f"{what}: failed requests", "", sum(s.failed for s in seen), mark=0),
        row(f"{what}: back to the weights", "s", max(s.back for s in seen), mark=_BACK),
    )  # fmt: skip
    return Part(rows, {"cuts": [vars(one) for one in seen]})


async def _cut(way: Way, member: Member, services: int) -> _Seen:
    traffic = Steady(way, _RATE)
    with traffic.flowing():
        await asyncio.sleep(3)
        with dropped(_pods(member, services)):
            cut = time.monotonic()
            await asyncio.sleep(_CUT)
        healed = time.monotonic()
        await asyncio.sleep(_CALM)
    answers = sorted(traffic.answers, key=lambda answer: answer.sent)
    return _Seen(
        earlier=round(max(a.took for a in answers if cut - 1 < a.sent <= cut + _FIRST), 3),
        after=round(max(a.took for a in answers if cut + _FIRST < a.sent <= healed), 3),
        failed=sum(not a.ok for a in answers),
        back=round(_back(answers, member, services, healed), 2),
    )


def _back(answers: list[Answer], member: Member, services: int, healed: float) -> float:
    """Return the seconds until a window begins in which the member has half of the answers; infinity: never."""
    for step in range(round((_CALM - _WINDOW) * 10)):
        begin = healed + step / 10
        window = [a for a in answers if begin <= a.sent < begin + _WINDOW and a.ok]
        got = sum(member.owns(a.cluster, services) for a in window)
        if abs(got - len(window) / 2) <= _SIGMAS * math.sqrt(len(window)) / 2:
            return step / 10
    return math.inf


def _pods(member: Member, services: int) -> str:
    """Match the packets to a member's pods."""
    return f"ip daddr {{ {', '.join(pod for number in range(services) for pod in member.pods(number))} }}"
