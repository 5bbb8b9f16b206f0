"""Cuts a cluster off without a word, as a broken cable does: packets are dropped, nobody is told.

The rules live in the cluster's own network namespace and look only at what crosses its cable, so that the cluster
itself goes on as if nothing had happened.
"""

from typing import Literal

from lab.addresses import ClusterPlan
from lab.network import enter
from lab.process import run

What = Literal["all", "api", "pods"]
TABLE = "gateway_lab_cut"


def cut(plan: ClusterPlan, api_port: int, what: What = "all") -> None:
    """Drop what goes to and from a cluster: all of it, its API server's packets, or its pods'. Ends an older cut."""
    run([*enter(plan), "nft", "-f", "-"], rules(plan, api_port, what))


def heal(plan: ClusterPlan) -> None:
    """Let everything pass again; nothing to do is fine."""
    run([*enter(plan), "nft", "-f", "-"], _EMPTY)


def rules(plan: ClusterPlan, api_port: int, what: What) -> str:
    """What nft is told: the cut as one transaction."""
    into, out = {
        "all": ("", ""),
        "api": (f"tcp dport {api_port} ", f"tcp sport {api_port} "),
        "pods": (f"ip daddr {plan.pod_cidr} ", f"ip saddr {plan.pod_cidr} "),
    }[what]
    return f"""\
{_EMPTY}table ip {TABLE} {{
  chain into {{
    type filter hook prerouting priority raw; policy accept;
    iifname "eth0" {into}drop
  }}
  chain out {{
    type filter hook postrouting priority mangle; policy accept;
    oifname "eth0" {out}drop
  }}
}}
"""


_EMPTY = f"table ip {TABLE}\ndelete table ip {TABLE}\n"  # a table must be there to be deleted
