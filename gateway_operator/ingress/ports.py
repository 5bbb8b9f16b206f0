"""The ConfigMaps of `--tcp-services-configmap` and `--udp-services-configmap`: ports that are passed on as streams.

An entry is `"port": "namespace/service:port[:PROXY][:PROXY]"`; the first PROXY expects the protocol from clients, the
second sends it to the backend. The Service's own address is the only endpoint, so pods come and go without a reload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway_operator.ingress.endpoints import BackendKey, Mode
from gateway_operator.ingress.grammar import shown
from gateway_operator.ingress.graph_types import Port
from gateway_operator.ingress.lookup import World
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.references import backend_of
from gateway_operator.ingress.snapshot import Snapshot

_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_ENTRY = re.compile(
    rf"(?P<namespace>{_NAME})/(?P<name>{_NAME}):(?P<port>[a-z0-9-]{{1,63}})"
    r"(?P<accept>:(PROXY|proxy)?)?(?P<send>:(PROXY|proxy)?)?"
)
MAX_PORT = 65535
RESERVED = frozenset({80, 443, 10246, 10254, 10442, 10443})


def read_ports(snapshot: Snapshot, world: World, problems: list[Problem]) -> tuple[tuple[Port, ...], set[BackendKey]]:
    """Return the ports of both ConfigMaps, sorted, and the backends that they need."""
    found = [
        port
        for protocol, data in (("tcp", snapshot.tcp), ("udp", snapshot.udp))
        for port in _read(protocol, data, world, problems)
    ]
    return tuple(found), {port.backend.key for port in found}


def _read(protocol: str, data: Mapping[str, str], world: World, problems: list[Problem]) -> list[Port]:
    ref = Ref("ConfigMap", "", f"{protocol}-services", "", "v1")
    found: dict[int, Port] = {}
    for name in sorted(data):
        text = str(data[name]).strip()
        try:
            port = _entry(protocol, name, text, world)
            if port.port in found:
                raise ValueError("has this port twice")  # noqa: TRY301
            found[port.port] = port
        except ValueError as error:
            message = f"{shown(text)} is left out: it {error}"
            problems.append(Problem(ref, "InvalidConfig", f"data[{shown(name)[1:-1]}]", message))
    return [found[number] for number in sorted(found)]


def _entry(protocol: str, name: str, text: str, world: World) -> Port:
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise ValueError("must be namespace/service:port, with :PROXY behind it once or twice at most")
    if not re.fullmatch(r"[1-9]\d{0,4}", name, re.ASCII) or int(name) > MAX_PORT or int(name) in RESERVED:
        raise ValueError(f"must stand under a port from 1 to {MAX_PORT} that the gateway itself doesn't use")
    key = BackendKey(match["namespace"], match["name"], match["port"], Mode.SERVICE, protocol.upper())
    resolved = world.backend(key)
    if resolved.error:
        raise ValueError(f"leads nowhere: {resolved.error}")
    tcp = protocol == "tcp"
    return Port(
        int(name),
        protocol,
        backend_of(key, resolved),
        accept_proxy=tcp and (match["accept"] or "").upper() == ":PROXY",
        send_proxy=tcp and (match["send"] or "").upper() == ":PROXY",
    )
