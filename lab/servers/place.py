"""Where a server runs: beside the tests on the loopback address, or on a lab's node, where pods reach it."""

from dataclasses import dataclass
from typing import Self

from lab import network
from lab.addresses import ClusterPlan
from lab.control import free_ports

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Place:
    """The address to listen on, what leads into its network, and whether a server dies with who started it."""

    host: str = LOOPBACK
    enter: tuple[str, ...] = ()
    tied: bool = True

    @classmethod
    def node(cls, plan: ClusterPlan) -> Self:
        """The only node of a cluster; what runs there outlives the command that started it."""
        return cls(plan.node_ip, tuple(network.enter(plan)), tied=False)

    def ports(self, *usual: int) -> list[int]:
        """As many ports that are free: the usual ones on a node, which has them to itself."""
        return free_ports(len(usual)) if self.host == LOOPBACK else list(usual)


BESIDE = Place()
