"""What is special about ClusterTrafficPolicy: its release has the mirror Services, and its status belongs to others.

Which mirrors there should be, the cluster half of the operator knows; what a policy does, it says in the status, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway_operator.names import release_name, short_name
from gateway_operator.releases.kinds import LiveObjects, ReleasePlan, Traffic
from gateway_operator.releases.values import text_digest
from gateway_operator.settings import GatewaySettings

Object = dict[str, Any]
Mirrors = Callable[[str, str], list[dict[str, Any]] | None]  # of the policy of that namespace and name


def no_mirrors(_namespace: str, _name: str) -> list[dict[str, Any]] | None:
    """Know nothing, as long as the cluster half is off: what there is stays."""
    return None


class PolicyKind:
    """The rules of ClusterTrafficPolicy. `mirrors` answers None while they aren't known."""

    guest = True

    def __init__(self, mirrors: Mirrors = no_mirrors) -> None:
        self._mirrors = mirrors

    def plan(self, obj: Object, peers: Sequence[Object], settings: GatewaySettings, *, installed: bool) -> ReleasePlan:
        """Take the mirrors that there should be."""
        del peers, settings, installed
        meta = obj["metadata"]
        mirrors = self._mirrors(meta["namespace"], meta["name"])
        if mirrors is None:
            traffic = Traffic(known=False, required=True)
        else:
            values = {"mirrors": mirrors}
            traffic = Traffic(values, text_digest(values))
        name = release_name(f"ctp-{meta['name']}")
        return ReleasePlan(name, {"policy": short_name(meta["name"])}, traffic=traffic)

    def peers_affected(self, obj: Object) -> bool:
        """Others are told by the cluster half, which settles conflicts."""
        del obj
        return False

    def status(self, obj: Object, live: LiveObjects) -> dict[str, Any]:
        """Nothing beyond what the engine writes."""
        del obj, live
        return {}
