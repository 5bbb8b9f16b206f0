"""A real Kubernetes API within seconds, for tests that need its behaviour but no pods.

etcd, kube-apiserver and kube-controller-manager run on the loopback address with free ports, so that many can run
side by side; owner references, namespace deletion and service accounts work as in any cluster. The daemons die with
their parent, unless they were asked to stay.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Self

from lab import tools
from lab.control import BASE_TOOLS, ControlPlane, Plan, free_ports
from lab.process import Daemons

SERVICE_CIDR = "10.96.0.0/16"
SERVICE_IP = "10.96.0.1"


class ApiCluster:
    """One API server with its store and controllers."""

    def __init__(self, control: ControlPlane) -> None:
        """Wrap a control plane; use `start` to get one that runs."""
        self.control = control
        self.kubeconfig: Path = control.kubeconfig
        self.url: str = control.url
        self.ca_file: Path = control.ca_file

    @classmethod
    def start(cls, directory: Path, name: str = "api", *, tied: bool = True) -> Self:
        """Start a cluster with empty data in `directory`; returns when its API is ready.

        What an earlier run left in `directory` is ended and removed first.
        """
        tools.binaries(BASE_TOOLS)
        folder = directory / name
        Daemons(folder).stop_all(kill=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        port, etcd, peer = free_ports(3)
        plan = Plan(name, "127.0.0.1", port, etcd, peer, SERVICE_CIDR, SERVICE_IP)
        (folder / "plan.json").write_text(json.dumps(asdict(plan)))
        cluster = cls(ControlPlane(folder, plan, Daemons(folder, tied=tied)))
        cluster.control.prepare()
        try:
            cluster.control.start()
        except BaseException:
            cluster.stop()
            raise
        return cluster

    @classmethod
    def find(cls, directory: Path, name: str = "api") -> Self | None:
        """The cluster that runs in `directory`, started by whichever process."""
        try:
            plan = Plan(**json.loads((directory / name / "plan.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        control = ControlPlane(directory / name, plan, Daemons(directory / name))
        alive = all(control.daemons.alive(daemon) for daemon in ("etcd", "kube-apiserver", "kube-controller-manager"))
        return cls(control) if alive and control.ready() else None

    def stop(self) -> None:
        """End the cluster; its folder stays, with the logs."""
        self.control.daemons.stop_all(kill=True)  # nothing in it is worth a graceful end

    def kill_apiserver(self) -> None:
        """End the API server with SIGKILL, as a crash would."""
        self.control.daemons.stop("kube-apiserver", kill=True)

    def start_apiserver(self) -> None:
        """Start the API server again: same address, same data; controllers that ended with it start, too."""
        self.control.start()

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 (the name subprocess gives it)
        """Run kubectl as administrator; raises CalledProcessError with what kubectl said."""
        return self.control.kubectl(*args, text=input)
