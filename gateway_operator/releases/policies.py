"""What is special about ClusterTrafficPolicy: its release has the mirror Services, and its status belongs to others.

Which mirrors there should be, the cluster half of the operator knows; what a policy does, it says in the status, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gateway_operator.names import release_name, short_name
from gateway_operator.releases.kinds import LiveObjects, ReleasePlan, Traffic
from gateway_operator.settings import GatewaySettings

Object = dict[str, Any]


class Mirrored(Protocol):
    """The mirrors of a policy, by a name that is another one when any of them is."""

    @property
    def digest(self) -> str: ...  # noqa: D102

    def as_values(self) -> list[dict[str, Any]]: ...  # noqa: D102


Mirrors = Callable[[str, str], Mirrored | None]  # of the policy of that namespace and name


def no_mirrors(_namespace: str, _name: str) -> Mirrored | None:
    """Know nothing, as long as the cluster half is off: what there is stays."""
    return None


class PolicyKind:
    """The rules of ClusterTrafficPolicy. `mirrors` answers None while they aren't known."""

    guest = True
    unread = (("spec", "rules"), ("status", "backends"))

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
            traffic = Traffic(lambda: {"mirrors": mirrors.as_values()}, mirrors.digest)
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
