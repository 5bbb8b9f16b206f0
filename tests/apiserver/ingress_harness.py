"""One gateway as it runs in a pod: the real controller beside the real supervisor, on a real API server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from lab.apiserver import ApiCluster
from lab.control import documents
from tests import forked
from tests.nginx.harness import Gateway, free_port


def own_address() -> str:
    """This machine's address: the API server refuses loopback addresses in EndpointSlices."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("10.255.255.255", 1))
        return str(probe.getsockname()[0])


class Controller:
    """`gateway-operator ingress` as a process (a fork), with a gateway of its own."""

    def __init__(self, cluster: ApiCluster, gateway: Gateway, namespace: str, *flags: str) -> None:
        self.gateway = gateway
        self.health = free_port()
        self._log = gateway.folder / "controller.log"
        env = os.environ | {
            "KUBECONFIG": str(cluster.kubeconfig),
            "GATEWAY_RUN_DIR": str(gateway.folder),
            "POD_NAME": "gateway-0",
            "POD_NAMESPACE": namespace,
        }
        arguments = [
            "ingress",
            f"--healthz-port={self.health}",
            f"--http-port={gateway.http}",
            f"--https-port={gateway.https}",
            f"--status-port={gateway.status}",
            *flags,
        ]
        with self._log.open("ab") as log:
            self.process = forked.program(forked.CONTROLLER, arguments, env=env, log=log)

    def log(self) -> str:
        """What the controller wrote so far."""
        return self._log.read_text(errors="replace")

    def stop(self) -> int:
        """End it as kubelet does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the controller doesn't stop:\n{self.log()[-3000:]}") from None


Start = Callable[..., Controller]


class World:
    """Objects of one namespace, made with kubectl."""

    def __init__(self, cluster: ApiCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects."""
        self.cluster.kubectl("apply", "-f", "-", input=documents(map(self._placed, objects)))

    def _placed(self, obj: dict[str, Any]) -> dict[str, Any]:
        return obj | {"metadata": {"namespace": self.namespace} | obj["metadata"]}

    def get(self, kind: str, name: str = "", *flags: str) -> Any:
        """Read objects."""
        words = ["get", kind, *([name] if name else []), "-n", self.namespace, "-o", "json", *flags]
        return json.loads(self.cluster.kubectl(*words))

    def delete(self, kind: str, name: str) -> None:
        """Delete one object."""
        self.cluster.kubectl("delete", kind, name, "-n", self.namespace)

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reasons and messages of the Events of one object."""
        items = self.get("events", "", f"--field-selector=involvedObject.name={name}")["items"]
        return [(item["reason"], item["message"]) for item in items]

    def status(self, name: str) -> list[dict[str, str]]:
        """The addresses in an Ingress's status."""
        found = self.get("ingress", name).get("status", {}).get("loadBalancer", {}).get("ingress", [])
        return [{key: item[key] for key in ("ip", "hostname") if key in item} for item in found]


@dataclass(frozen=True)
class Stage:
    """A gateway with its controller that serves the Ingress `one`."""

    world: World
    gateway: Gateway
    controller: Controller
    ingress_class: str


def service(name: str, port: int) -> list[dict[str, Any]]:
    """A Service with a named port and a hand-made EndpointSlice that leads to this machine."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"ports": [{"name": "web", "port": 80, "targetPort": "http"}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "web", "port": port}],
            "endpoints": [{"addresses": [own_address()], "conditions": {"ready": True}}],
        },
    ]


def ingress(name: str, host: str, target: str, **extra: Any) -> dict[str, Any]:
    """An Ingress with one host and all of its paths; `ingress_class`, `annotations` and `tls` as wanted."""
    path = {
        "path": extra.get("path", "/"),
        "pathType": extra.get("kind", "Prefix"),
        "backend": {"service": {"name": target, "port": {"name": "web"}}},
    }
    spec: dict[str, Any] = {"rules": [{"host": host, "http": {"paths": [path]}}]}
    if "ingress_class" in extra:
        spec["ingressClassName"] = extra["ingress_class"]
    if "tls" in extra:
        spec["tls"] = [{"hosts": [host], "secretName": extra["tls"]}]
    metadata = {"name": name, "annotations": extra.get("annotations", {})}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


def write(path: Path, text: str) -> Path:
    """Write a file and return its path."""
    path.write_text(text)
    return path


def cluster_flags(ingress_class: str) -> list[str]:
    """A cluster gateway of one class."""
    return [
        f"--controller-class=example.test/{ingress_class}",
        f"--ingress-class={ingress_class}",
        "--publish-status-address=192.0.2.7",
        f"--election-id={ingress_class}",
    ]


def serves(gateway: Gateway, host: str, expected: str | int = "a", path: str = "/") -> Callable[[], object]:
    """Make a check for `eventually`."""

    async def check() -> bool:
        return await gateway.backend_of(host, path) == expected

    return check


async def ready(controller: Controller) -> int:
    """The status of /readyz."""
    url = f"http://127.0.0.1:{controller.health}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status
