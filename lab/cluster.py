"""Several complete Kubernetes clusters on one machine, for tests of what happens between pods.

Each cluster is its own control plane and node in its own network namespace. A lab is found again by its files, so
that one command can start it, another use it and a third take it away; `up` keeps what is healthy and replaces what
is broken.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from lab import cleanup, cuts, dns, network, tools
from lab.addresses import LABS, ClusterPlan, LabPlan, cluster_plans, lab_plan
from lab.control import BASE_TOOLS, ControlPlane, Plan
from lab.debian import FOR_NODES, require
from lab.errors import LabError
from lab.images import Image, system_images
from lab.node import NODE_TOOLS, Node
from lab.paths import locked, run_dir, say
from lab.process import Daemons, wait_for

Network = Literal["flat", "separate"]
API_PORT = 6443
NODE_SECONDS = 90.0
MOMENT = 30.0


class Cluster:
    """One cluster of a lab."""

    def __init__(self, directory: Path, plan: ClusterPlan) -> None:
        """Describe a cluster; nothing is started yet."""
        self.name = plan.name
        self.plan = plan
        self.directory = directory
        self.node_ip = plan.node_ip
        self.daemons = Daemons(directory, prefix=network.enter(plan))
        self.node = Node(directory, plan, self.daemons)
        self.control = ControlPlane(directory, _control_plan(plan), self.daemons)
        self.kubeconfig: Path = self.control.kubeconfig
        self._complete = directory / "complete"

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 (the name subprocess gives it)
        """Run kubectl as administrator; raises CalledProcessError with what kubectl said."""
        return self.control.kubectl(*args, text=input)

    def load(self, image_archive: Path) -> None:
        """Import an image archive into the cluster's node."""
        self.node.load(image_archive)

    def ensure(self, image: Image) -> None:
        """Import an image unless the node has it."""
        if image.name not in self.node.images():
            self.load(image.archive)

    def healthy(self) -> bool:
        """Whether all daemons run, and the node and the cluster DNS are ready."""
        return not self.problems() and self._node_ready() and self._dns_ready()

    def recovers(self) -> bool:
        """Whether the cluster is healthy, given a moment: it may have been started just now."""
        try:
            wait_for(self.name, self.healthy, seconds=MOMENT)
        except LabError:
            return False
        return True

    def problems(self) -> list[str]:
        """What is wrong with this cluster, in words; empty when nothing is."""
        if not network.namespace_exists(self.plan):
            return ["its network is gone"]
        if not self._complete.exists():
            return ["its start was interrupted"]
        dead = [f"{name} doesn't run" for name in COMPONENTS if not self.daemons.alive(name)]
        return dead or ([] if self.control.ready() else ["its API server isn't ready"])

    def start(self, peers: Sequence[ClusterPlan], images: Sequence[Image]) -> None:
        """Create the cluster with empty data and start everything but its DNS."""
        say(f"starting the cluster {self.name} at {self.node_ip} ...")
        self.directory.mkdir(parents=True, exist_ok=True)
        network.create_namespace(self.plan, peers)
        authority = self.control.prepare()
        authority.issue("kubelet", f"system:node:{self.name}", ["system:nodes"], [self.name, self.node_ip])
        self.control.client(authority, "kubelet", f"system:node:{self.name}", ["system:nodes"])
        self.control.client(authority, "kube-proxy", "system:kube-proxy")
        self.control.client(authority, "kube-scheduler", "system:kube-scheduler")
        self.node.start_containerd()
        for image in images:
            self.ensure(image)
        self.control.start()
        self.node.start()
        self.kubectl("apply", "--server-side", "-f", "-", input=dns.manifest(self.plan.dns_ip))
        self._complete.touch()

    def wait(self) -> None:
        """Wait until pods run and names resolve."""
        wait_for(f"{self.name}: the node", self._node_ready, seconds=NODE_SECONDS, blame=self._blame)
        wait_for(f"{self.name}: the cluster DNS", self._dns_ready, seconds=NODE_SECONDS, blame=self._blame)
        wait_for(f"{self.name}: service addresses", self._services_answer, seconds=NODE_SECONDS, blame=self._blame)

    def cut(self, what: cuts.What = "all") -> None:
        """Drop, in silence, what goes to and from the other clusters and the host."""
        cuts.cut(self.plan, API_PORT, what)

    def heal(self) -> None:
        """End a cut."""
        cuts.heal(self.plan)

    def stop_api(self) -> None:
        """End the API server as a crash would; pods go on."""
        self.daemons.stop("kube-apiserver", kill=True)

    def start_api(self) -> None:
        """Start it again, with what ended for want of it."""
        self.control.start()

    def remove(self) -> None:
        """End the cluster and remove all that it left on the machine."""
        self.daemons.stop_all(kill=True)
        cleanup.remove(self.directory, self.plan.id)
        network.delete_namespace(self.plan)

    def _node_ready(self) -> bool:
        return self._status(f"node/{self.name}", "Ready") == "True"

    def _dns_ready(self) -> bool:
        return self._status("deployment/coredns", "Available") == "True"

    def _services_answer(self) -> bool:
        """Whether kube-proxy has written its first rules: a connection to the DNS's virtual address succeeds."""
        connect = f"exec 3<>/dev/tcp/{self.plan.dns_ip}/53"
        command = [*network.enter(self.plan), "timeout", "2", "bash", "-c", connect]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _status(self, what: str, condition: str) -> str:
        path = f"jsonpath={{.status.conditions[?(@.type=='{condition}')].status}}"
        try:
            return self.kubectl("get", what, "--namespace", dns.NAMESPACE, "--output", path)
        except OSError:
            raise
        except Exception:  # noqa: BLE001 (not there yet, or the API server is away: both mean "not ready")
            return ""

    def _blame(self) -> str:
        return self.daemons.tail("kubelet")


COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "containerd", *NODE_TOOLS)


def _control_plan(plan: ClusterPlan) -> Plan:
    # each cluster has the whole range of ports to itself
    return Plan(
        plan.name, plan.node_ip, API_PORT, 2379, 2380, plan.service_cidr, plan.service_ip, plan.pod_cidr
    )  # fmt: skip


@dataclass(frozen=True)
class Lab:
    """A set of clusters that belong together, found by its name."""

    plan: LabPlan
    network: Network
    clusters: tuple[Cluster, ...]

    @classmethod
    def up(cls, clusters: Sequence[str] = ("centre",), network: Network = "flat", name: str = "demo") -> Self:
        """Bring a lab up: what is healthy stays, what is broken or differs is made anew."""
        if os.geteuid() != 0:
            raise LabError("clusters whose pods run need root (network namespaces, mounts); try `sudo`, or --size api")
        require(FOR_NODES)
        tools.binaries([*BASE_TOOLS, *NODE_TOOLS])
        images = system_images()
        with locked(f"lab-{name}"):
            lab = cls._claim(list(clusters), network, name)
            lab.start(images)
        return lab

    @classmethod
    def find(cls, name: str = "demo") -> Self | None:
        """The lab of this name, in whatever state it is."""
        try:
            record = json.loads((run_dir(name) / "lab.json").read_text())
            return cls._describe(lab_plan(name, record["index"]), record["network"], record["clusters"])
        except (OSError, ValueError, KeyError):
            return None

    def down(self) -> None:
        """End all clusters and remove everything of this lab."""
        with locked(f"lab-{self.plan.name}"):
            self._remove()

    def _remove(self) -> None:
        for folder in self.servers.glob("*"):
            Daemons(folder).stop_all(kill=True)
        for cluster in self.clusters:
            say(f"removing the cluster {cluster.name} ...")
            cluster.remove()
        network.delete_bridge(self.plan)
        shutil.rmtree(run_dir(self.plan.name), ignore_errors=True)

    @property
    def servers(self) -> Path:
        """The folders of servers that run beside the clusters and end with the lab."""
        return run_dir(self.plan.name) / "servers"

    def __getitem__(self, name: str) -> Cluster:
        for cluster in self.clusters:
            if cluster.name == name:
                return cluster
        raise KeyError(f"no cluster {name!r}; there are {', '.join(cluster.name for cluster in self.clusters)}")

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self.clusters)

    def start(self, images: Sequence[Image]) -> None:
        """Start the clusters that don't run or aren't well; needs the lab's lock."""
        network.create_bridge(self.plan)
        fresh = [cluster for cluster in self.clusters if not self._keep(cluster)]
        with ThreadPoolExecutor() as threads:  # most of a start is waiting
            list(threads.map(lambda cluster: self._make(cluster, images), fresh))
        for cluster in self.clusters:
            for image in images:
                cluster.ensure(image)

    def _make(self, cluster: Cluster, images: Sequence[Image]) -> None:
        cluster.remove()
        cluster.start(self._peers(cluster), images)
        cluster.wait()

    def _keep(self, cluster: Cluster) -> bool:
        if not cluster.directory.exists():
            return False
        if not cluster.problems() and cluster.recovers():
            say(f"the cluster {cluster.name} runs already")
            return True
        say(f"the cluster {cluster.name} is broken ({'; '.join(cluster.problems()) or 'not ready'}): making it anew")
        return False

    def _peers(self, cluster: Cluster) -> list[ClusterPlan]:
        if self.network == "separate":
            return []
        return [other.plan for other in self.clusters if other is not cluster]

    @classmethod
    def _claim(cls, clusters: list[str], wanted: Network, name: str) -> Self:
        """The recorded lab if it is the one wanted, else a new record with a number that no other lab has."""
        found = cls.find(name)
        if found:
            if [cluster.name for cluster in found] == clusters and found.network == wanted:
                return found
            say(f"the lab {name} had other clusters or another network: making it anew")
            found._remove()  # noqa: SLF001 (the lab's lock is held already)
        with locked("labs"):
            lab = cls._describe(lab_plan(name, _free_index()), wanted, clusters)
            folder = run_dir(name)
            folder.mkdir(parents=True, exist_ok=True)
            record = {"index": lab.plan.index, "network": wanted, "clusters": clusters}
            (folder / "lab.json").write_text(json.dumps(record))
        return lab

    @classmethod
    def _describe(cls, plan: LabPlan, wanted: Network, clusters: list[str]) -> Self:
        folder = run_dir(plan.name)
        plans = cluster_plans(plan, clusters)
        return cls(plan, wanted, tuple(Cluster(folder / "clusters" / one.name, one) for one in plans))


def _free_index() -> int:
    taken = {json.loads(file.read_text())["index"] for file in run_dir("_").parent.glob("*/lab.json")}
    return next((index for index in range(LABS) if index not in taken), LABS)
