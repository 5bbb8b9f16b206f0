"""Revisions that traffic makes: told from people's, counted apart, and thinned out by us.

Policies change far more often than gateways do. Helm trims a release's oldest revisions, whoever made them, so ten
changes of a weight would push out everything that a person might want to roll back to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway_operator.errors import NotFound
from gateway_operator.releases import names
from gateway_operator.releases.records import ReleaseIndex, ReleaseKey, ReleaseRecord
from gateway_operator.releases.tools import Tools

if TYPE_CHECKING:
    from gateway_operator.releases.steps import Work

NONE = "null"  # Helm's word for a label that goes
KEPT = 5  # revisions of traffic, beside those of people


def is_traffic(deployed: ReleaseRecord | None, base: str, digest: str) -> bool:
    """Tell whether what is wanted differs from what is deployed by its traffic alone."""
    return deployed is not None and (deployed.base or deployed.digest) == base and deployed.digest != digest


def superfluous(records: Sequence[ReleaseRecord], kept: int) -> list[ReleaseRecord]:
    """Return the oldest revisions of traffic beyond `kept`; one that is deployed or at work is never among them."""
    mine = [record for record in records if record.cause == names.TRAFFIC]
    return [record for record in mine[: max(0, len(mine) - kept)] if record.status == "superseded"]


class TrafficHistory:
    """Labels the revisions of traffic, and makes room for the next one."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def labels(self, work: Work) -> dict[str, str]:
        """Return the labels of the revision that an upgrade makes."""
        index = self._tools.index
        newest = index.newest(work.release)
        found = {
            names.BASE_LABEL: work.base if work.traffic else "",
            names.TRAFFIC_LABEL: work.traffic,
            names.CAUSE_LABEL: names.TRAFFIC if self._by_traffic(work) else "",
        }
        old = newest is not None and bool(newest.base or newest.traffic or newest.cause)
        return {label: text or NONE for label, text in found.items() if text or old}

    async def make_room(self, work: Work) -> int:
        """Delete revisions of traffic that are too many by now; returns how many Helm is to leave in all.

        Raises ApiError.
        """
        index, adds = self._tools.index, int(self._by_traffic(work))
        old = superfluous(index.all(work.release), KEPT - adds)
        if old:
            secrets = await self._tools.api.resource("v1", "Secret")
            for record in old:
                with contextlib.suppress(NotFound):
                    await self._tools.api.delete(secrets, record.secret, record.namespace)
        gone = {record.version for record in old}
        return self._tools.settings.history_max + adds + _count(index, work.release, gone)

    def history_max(self, release: ReleaseKey) -> int:
        """Return how many revisions Helm is to leave where nothing of the traffic changes."""
        return self._tools.settings.history_max + _count(self._tools.index, release, set())

    def _by_traffic(self, work: Work) -> bool:
        index = self._tools.index
        deployed = index.deployed(work.release)
        ours = deployed is not None and index.made_here(deployed)
        return ours and is_traffic(deployed, work.base, work.wanted.digest)


def _count(index: ReleaseIndex, release: ReleaseKey, without: set[int]) -> int:
    records = index.all(release)
    return sum(record.cause == names.TRAFFIC and record.version not in without for record in records)
