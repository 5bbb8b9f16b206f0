"""The networks of a lab: a namespace for each cluster, one bridge between them, and routes where clusters may meet.

With a *flat* network each node has routes to the other clusters' pods; with *separate* networks it has none, and what
leaves a cluster carries its node's address. The host forwards nothing, it only sits on the bridge and so reaches
every node.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.addresses import ClusterPlan, LabPlan
from lab.process import run

NAMESPACES = Path("/run/netns")
PREFIX_LENGTH = 24


def enter(plan: ClusterPlan) -> list[str]:
    """What to put before a command so that it runs in a cluster's network.

    `ip netns exec` would mount a new /sys over the cgroups, and the kubelet would find none.
    """
    return ["nsenter", f"--net={NAMESPACES / plan.id}"]


def create_bridge(plan: LabPlan) -> None:
    """Join the nodes of a lab, and the host with them."""
    if not _exists(plan.bridge):
        run(["ip", "link", "add", plan.bridge, "type", "bridge"])
    run(["ip", "address", "replace", f"{plan.gateway}/{PREFIX_LENGTH}", "dev", plan.bridge])
    run(["ip", "link", "set", plan.bridge, "up"])
    if _filtered() and not _try(["iptables", "--check", *_pass(plan)]):
        run(["iptables", "--insert", *_pass(plan)])


def create_namespace(plan: ClusterPlan, peers: Sequence[ClusterPlan]) -> None:
    """Give a cluster its network, with routes to the pods of `peers`."""
    delete_namespace(plan)
    run(["ip", "netns", "add", plan.id])
    run(["ip", "link", "add", plan.veth, "type", "veth", "peer", "name", "eth0", "netns", plan.id])
    run(["ip", "link", "set", plan.veth, "master", plan.lab.bridge, "up"])
    inside = [*enter(plan), "ip"]
    run([*inside, "link", "set", "lo", "up"])
    run([*inside, "address", "add", f"{plan.node_ip}/{PREFIX_LENGTH}", "dev", "eth0"])
    run([*inside, "link", "set", "eth0", "up"])
    run([*inside, "route", "add", "default", "via", plan.lab.gateway])
    for peer in peers:
        run([*inside, "route", "replace", peer.pod_cidr, "via", peer.node_ip])
    run([*enter(plan), "sysctl", "-qw", "net.ipv4.ip_forward=1"])
    run([*enter(plan), "nft", "-f", "-"], masquerade([plan, *peers], plan))


def masquerade(flat: Sequence[ClusterPlan], plan: ClusterPlan) -> str:
    """Rules by which pods use their node's address wherever their own isn't routed."""
    routed = ", ".join(peer.pod_cidr for peer in flat)
    return f"""\
table ip gateway_lab {{
  chain leave {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {plan.pod_cidr} ip daddr != {{ {routed} }} masquerade
  }}
}}
"""


def delete_namespace(plan: ClusterPlan) -> None:
    """Take a cluster's network away; the interfaces inside go with it."""
    _try(["ip", "link", "delete", plan.veth])
    _try(["ip", "netns", "delete", plan.id])


def delete_bridge(plan: LabPlan) -> None:
    """Take a lab's bridge away."""
    if _filtered():
        _try(["iptables", "--delete", *_pass(plan)])
    _try(["ip", "link", "delete", plan.bridge])


def namespace_exists(plan: ClusterPlan) -> bool:
    """Whether the cluster's namespace and its cable are there."""
    return (NAMESPACES / plan.id).exists() and _exists(plan.veth) and _exists(plan.lab.bridge)


def _exists(interface: str) -> bool:
    return Path("/sys/class/net", interface).exists()


def _filtered() -> bool:
    """Whether the host's packet filter sees what crosses a bridge; container engines then have it dropped."""
    setting = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    return setting.exists() and setting.read_text().strip() == "1"


def _pass(plan: LabPlan) -> list[str]:
    return ["FORWARD", "-i", plan.bridge, "-o", plan.bridge, "-j", "ACCEPT"]


def _try(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
