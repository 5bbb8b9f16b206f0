"""A gateway's node ports as text on its object, so that one that comes back can ask for those that it had. Pure.

Node ports are the cluster's to give, and people write them into firewalls and load balancers of their own: a gateway
that is deleted and made again must not move (kubesphere/kubesphere#5660).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gateway_operator.crds.base import GROUP
from gateway_operator.gateways.claims import mapping

ANNOTATION = f"{GROUP}/node-ports"  # "http=30080,https=30443,tcp/9000=31000"
_WEB = ("http", "https")
_PROTOCOLS = ("tcp", "udp")
_PORTS = range(1, 65536)
NodePorts = dict[str, int]


def told(status: Mapping[str, Any]) -> NodePorts:
    """Return the node ports that a gateway's status tells."""
    found: NodePorts = {}
    for port in status.get("ports") or ():
        if port.get("nodePort"):
            protocol = str(port.get("protocol") or "TCP").lower()
            web = port.get("name") in _WEB and protocol == "tcp"
            found[str(port["name"]) if web else f"{protocol}/{port.get('port')}"] = int(port["nodePort"])
    return found


def text_of(ports: Mapping[str, int]) -> str:
    """Return the annotation's value."""
    return ",".join(f"{name}={ports[name]}" for name in sorted(ports))


def parse(text: str) -> tuple[NodePorts, list[str]]:
    """Read the annotation; the second value are the parts that say nothing."""
    found: NodePorts = {}
    broken: list[str] = []
    for part in filter(None, text.replace(" ", "").split(",")):
        name, _, number = part.partition("=")
        if _is_name(name) and _is_port(number):
            found[name] = int(number)
        else:
            broken.append(part)
    return found, broken


def of(gateway: Mapping[str, Any]) -> str | None:
    """Return the annotation of a Gateway, None where there is none."""
    text = mapping(gateway, "metadata", "annotations").get(ANNOTATION)
    return None if text is None else str(text)


def values_of(ports: Mapping[str, int]) -> dict[str, Any]:
    """Return the values of ingress-nginx that ask for these ports."""
    chosen: dict[str, Any] = {name: ports[name] for name in _WEB if name in ports}
    for protocol in _PROTOCOLS:
        numbers = {name[len(protocol) + 1 :]: ports[name] for name in sorted(ports) if name.startswith(f"{protocol}/")}
        if numbers:
            chosen[protocol] = numbers
    return {"controller": {"service": {"nodePorts": chosen}}} if chosen else {}


def without(ports: Mapping[str, int], taken: Collection[int]) -> tuple[NodePorts, NodePorts]:
    """Part the ports into those that can be had and those that others have by now."""
    free = {name: port for name, port in ports.items() if port not in taken}
    return free, {name: port for name, port in ports.items() if port in taken}


def _is_name(name: str) -> bool:
    protocol, slash, number = name.partition("/")
    return name in _WEB or (bool(slash) and protocol in _PROTOCOLS and _is_port(number))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len("65535") and int(text) in _PORTS
