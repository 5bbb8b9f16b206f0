"""The control plane of one cluster: etcd, kube-apiserver and kube-controller-manager, which both sizes of lab share.

The small lab runs these three on the loopback address and nothing else; the large one adds what makes pods run.
"""

import base64
import contextlib
import json
import os
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from lab import tools
from lab.errors import LabError
from lab.pki import Authority, Pair
from lab.process import Daemons, wait_for

ADMINS = "system:masters"
SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
READY_SECONDS = 60.0
BASE_TOOLS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
_HOLD = 256
_HELD: deque[int] = deque()  # file descriptors of the newest free ports


@dataclass(frozen=True)
class Plan:
    """Addresses of a control plane; `nodes` tells whether pods will run."""

    name: str
    host: str
    port: int
    etcd_port: int
    peer_port: int
    service_cidr: str
    service_ip: str
    pod_cidr: str = ""

    @property
    def nodes(self) -> bool:
        """Whether this cluster has a node."""
        return bool(self.pod_cidr)


class ControlPlane:
    """Certificates, kubeconfigs and daemons of one control plane, in one folder."""

    def __init__(self, directory: Path, plan: Plan, daemons: Daemons) -> None:
        """Describe a control plane; nothing is written or started yet."""
        self.directory = directory
        self.plan = plan
        self.daemons = daemons
        self.pki = directory / "pki"
        self.url = f"https://{plan.host}:{plan.port}"
        self.kubeconfig = directory / "admin.kubeconfig"

    @property
    def ca_file(self) -> Path:
        """The certificate that clients check the API server against."""
        return self.pki / "ca.crt"

    def prepare(self) -> Authority:
        """Write certificates and kubeconfigs; returns the authority for further certificates."""
        authority = Authority(self.pki, self.plan.name)
        hosts = [*SERVICE_NAMES, "localhost", "127.0.0.1", self.plan.host, self.plan.service_ip]
        authority.issue("apiserver", "kube-apiserver", hosts=dict.fromkeys(hosts))
        authority.issue("apiserver-kubelet", "kube-apiserver-kubelet-client", [ADMINS])
        authority.key_pair("service-account")
        self.client(authority, "admin", "admin", [ADMINS])
        self.client(authority, "kube-controller-manager", "system:kube-controller-manager")
        return authority

    def client(self, authority: Authority, name: str, user: str, groups: list[str] | None = None) -> Path:
        """A kubeconfig for `user`, in NAME.kubeconfig."""
        path = self.directory / f"{name}.kubeconfig"
        pair = authority.issue(f"client-{name}", user, groups or [])
        path.touch(0o600)
        path.write_text(json.dumps(kubeconfig(self.plan.name, self.url, authority.pair.cert, pair), indent=1))
        return path

    def start(self) -> None:
        """Start the three daemons and wait until the API server is ready."""
        binaries = tools.binaries(BASE_TOOLS)
        self.daemons.start("etcd", [binaries["etcd"], *self._etcd_flags()])
        self.start_apiserver()
        self.daemons.start(
            "kube-controller-manager", [binaries["kube-controller-manager"], *self._controller_manager_flags()]
        )

    def start_apiserver(self) -> None:
        """Start the API server and wait until it is ready."""
        self.daemons.start("kube-apiserver", [tools.binary("kube-apiserver"), *self._apiserver_flags()])
        wait_for("the API server's start", self._ready_or_dead, seconds=READY_SECONDS, blame=self._blame)

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.load_cert_chain(self.pki / "client-admin.crt", self.pki / "client-admin.key")
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2, context=context) as answer:  # noqa: S310 (https, above)
                return bool(answer.status == HTTPStatus.OK)
        except (OSError, urllib.error.URLError):
            return False

    def kubectl(self, *args: str, text: str | None = None) -> str:
        """Run kubectl as the administrator; its words are in the error should it fail."""
        command = [str(tools.binary("kubectl")), "--kubeconfig", str(self.kubeconfig), *args]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise KubectlError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def _ready_or_dead(self) -> bool:
        for name in ("etcd", "kube-apiserver"):
            if not self.daemons.alive(name):
                raise LabError(f"{name} ended at once:\n{self.daemons.tail(name)}")
        return self.ready()

    def _blame(self) -> str:
        return self.daemons.tail("kube-apiserver")

    def _etcd_flags(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self.plan.etcd_port, self.plan.peer_port))
        return [
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # a lab's data may be lost with the machine; slow disks would dominate every test
            "--log-level=warn",
        ]

    def _apiserver_flags(self) -> list[str]:
        return [
            f"--etcd-servers=http://127.0.0.1:{self.plan.etcd_port}",
            f"--bind-address={self.plan.host}",
            f"--advertise-address={self.plan.host}",
            f"--secure-port={self.plan.port}",
            # an Endpoints object may not hold a loopback address
            f"--endpoint-reconciler-type={'lease' if self.plan.nodes else 'none'}",
            f"--service-cluster-ip-range={self.plan.service_cidr}",
            f"--cert-dir={self.directory / 'apiserver'}",
            f"--client-ca-file={self.ca_file}",
            f"--tls-cert-file={self.pki / 'apiserver.crt'}",
            f"--tls-private-key-file={self.pki / 'apiserver.key'}",
            f"--kubelet-client-certificate={self.pki / 'apiserver-kubelet.crt'}",
            f"--kubelet-client-key={self.pki / 'apiserver-kubelet.key'}",
            f"--kubelet-certificate-authority={self.ca_file}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={self.pki / 'service-account.crt'}",
            f"--service-account-signing-key-file={self.pki / 'service-account.key'}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--profiling=false",
            "--shutdown-delay-duration=0s",
        ]

    def _controller_manager_flags(self) -> list[str]:
        account = self.directory / "kube-controller-manager.kubeconfig"
        flags = [
            f"--kubeconfig={account}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--kube-api-qps=500",  # by default a thousand Deployments wait minutes for their statuses
            "--kube-api-burst=1000",
            "--secure-port=0",
            f"--root-ca-file={self.ca_file}",
            f"--cluster-signing-cert-file={self.ca_file}",
            f"--cluster-signing-key-file={self.pki / 'ca.key'}",
            f"--service-account-private-key-file={self.pki / 'service-account.key'}",
        ]
        if self.plan.nodes:
            flags += [
                "--allocate-node-cidrs=true",
                f"--cluster-cidr={self.plan.pod_cidr}",
                "--node-cidr-mask-size=24",
                f"--service-cluster-ip-range={self.plan.service_cidr}",
                # a node that was killed and started again should soon be believed in
                "--node-monitor-grace-period=20s",
                "--node-monitor-period=2s",
            ]
        return flags


class KubectlError(subprocess.CalledProcessError):
    """A CalledProcessError whose message has what kubectl said."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{(self.stderr or '').strip()}"


def kubeconfig(name: str, url: str, ca: Path, pair: Pair) -> dict[str, object]:
    """A kubeconfig (JSON is YAML) that carries its certificates, so that it works when copied elsewhere."""
    cluster = {"server": url, "certificate-authority-data": _base64(ca)}
    user = {"client-certificate-data": _base64(pair.cert), "client-key-data": _base64(pair.key)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def documents(objects: Iterable[Mapping[str, Any]]) -> str:
    """Objects as one text for kubectl, a JSON document each.

    Not as one List: kubectl looks for its kind in vain, and then has the API server write the OpenAPI 2 document anew,
    which takes it a second.
    """
    return "\n".join(map(json.dumps, objects))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below the range that outgoing connections take theirs from.

    They stay bound by this process, which hinders no server (all of them say SO_REUSEADDR), so that nobody else who
    asks for free ports gets them before their server has started, or where none shall ever listen.
    """
    found: list[int] = []
    while len(found) < count:
        port = 20000 + int.from_bytes(os.urandom(2), "big") % 12000
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _HELD.append(probe.detach())
            found.append(port)
    while len(_HELD) > _HOLD:
        os.close(_HELD.popleft())
    return found


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
