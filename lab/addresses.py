"""Which addresses and interface names a lab uses, decided in one place so that labs and clusters never overlap.

A lab's number picks its slice of each range, a cluster's position its place in that slice. Pod and service ranges
differ between clusters too, because a flat network routes them all.
"""

import ipaddress
import re
from dataclasses import dataclass

from lab.errors import LabError

LABS = 16
CLUSTERS = 16
NODE_OCTET = 201
POD_OCTET = 210
SERVICE_OCTET = 230
FIRST_NODE = 11
STEP = 256 // LABS
NAME = re.compile(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?")


@dataclass(frozen=True)
class LabPlan:
    """The part of the addresses that a whole lab shares."""

    name: str
    index: int

    @property
    def bridge(self) -> str:
        """The bridge that joins the nodes (interface names have at most 15 characters)."""
        return f"gwlab{self.index}"

    @property
    def gateway(self) -> str:
        """The host's own address on that bridge."""
        return f"10.{NODE_OCTET}.{self.index}.1"

    @property
    def node_cidr(self) -> str:
        """The network of the nodes."""
        return f"10.{NODE_OCTET}.{self.index}.0/24"

    def cluster(self, name: str, position: int) -> "ClusterPlan":
        """The addresses of one cluster."""
        return ClusterPlan(self, check_name(name), position)


@dataclass(frozen=True)
class ClusterPlan:
    """The addresses of one cluster."""

    lab: LabPlan
    name: str
    position: int

    @property
    def id(self) -> str:
        """A name that no other cluster on this machine has: for its namespace, cgroup and CNI network."""
        return f"gwlab-{self.lab.name}-{self.name}"

    @property
    def veth(self) -> str:
        """The host's end of the cable to the node."""
        return f"{self.lab.bridge}v{self.position}"

    @property
    def node_ip(self) -> str:
        """The node's address, which the host can reach."""
        return f"10.{NODE_OCTET}.{self.lab.index}.{FIRST_NODE + self.position}"

    @property
    def pod_cidr(self) -> str:
        """The pods' addresses."""
        return f"10.{POD_OCTET + self.position}.{self.lab.index * STEP}.0/20"

    @property
    def service_cidr(self) -> str:
        """The services' virtual addresses."""
        return f"10.{SERVICE_OCTET + self.position}.{self.lab.index * STEP}.0/20"

    @property
    def service_ip(self) -> str:
        """The API server's virtual address."""
        return str(ipaddress.ip_network(self.service_cidr)[1])

    @property
    def dns_ip(self) -> str:
        """The cluster DNS's virtual address."""
        return str(ipaddress.ip_network(self.service_cidr)[10])


def lab_plan(name: str, index: int) -> LabPlan:
    """The addresses of the lab with this number."""
    if not 0 <= index < LABS:
        raise LabError(f"a machine holds at most {LABS} labs")
    return LabPlan(check_name(name), index)


def cluster_plans(lab: LabPlan, names: list[str]) -> list[ClusterPlan]:
    """The addresses of all clusters of a lab."""
    if len(names) > CLUSTERS or len(set(names)) != len(names) or not names:
        raise LabError(f"give 1 to {CLUSTERS} different names of clusters, not {','.join(names)!r}")
    return [lab.cluster(name, position) for position, name in enumerate(names)]


def check_name(name: str) -> str:
    """Names become parts of host names and paths."""
    if not NAME.fullmatch(name):
        raise LabError(f"{name!r} is no good name: use up to 20 of a-z, 0-9 and '-', beginning with a letter")
    return name
