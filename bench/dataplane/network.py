"""A network of its own for a run: loopback and a range of test addresses, from which nothing leads anywhere else.

The controller refuses loopback addresses as backends, so pods get addresses of RFC 2544's range for benchmarks. The
whole range is local here: each pod has an address of its own and one nginx answers on all of them.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os

from lab.errors import LabError
from lab.process import run

RANGE = ipaddress.ip_network("198.18.0.0/15")
_NEW_PODS = int(ipaddress.ip_network("198.19.0.0/16")[0])
_CLONE_NEWNET = 0x40000000
_SETTINGS = ("net.ipv4.ip_local_port_range=10240 65535", "net.ipv4.tcp_tw_reuse=1", "net.core.somaxconn=4096")
_PORTS = range(2000, 10000)  # below those that connections take theirs from


def enter() -> None:
    """Move this process, and all that it starts from now on, into a network of its own. Raises LabError.

    Threads that run already stay where they are: call it first.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        why = os.strerror(ctypes.get_errno())
        raise LabError(f"a network namespace can't be made ({why}): run this benchmark as root")
    run(["ip", "link", "set", "lo", "up"])
    run(["ip", "route", "add", "local", str(RANGE), "dev", "lo"])
    for setting in _SETTINGS:
        run(["sysctl", "-qw", setting])


def pod(number: int) -> str:
    """Return the address of a pod that is there from the start."""
    return str(RANGE[number + 1])


def new_pod(number: int) -> str:
    """Return the address of a pod that appears during a measurement; the backend writes down what they get."""
    return str(ipaddress.ip_address(_NEW_PODS + number + 1))


class Ports:
    """Hands out ports: nobody else lives in this network."""

    def __init__(self) -> None:
        self._free = iter(_PORTS)

    def take(self) -> int:
        """Return a port that was not given to anybody."""
        return next(self._free)
