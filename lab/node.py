"""What makes pods run in one cluster: containerd, kubelet, kube-proxy and scheduler, and the configuration each wants.

Every setting here that isn't a path or an address was needed on a machine without systemd, without cgroup v2 or without
CAP_SYS_RESOURCE; the comments say what happens without it.
"""

import json
from pathlib import Path

from lab import tools
from lab.addresses import ClusterPlan
from lab.process import Daemons, run, wait_for

CGROUPS = Path("/sys/fs/cgroup")
CNI_PLUGINS = Path("/usr/lib/cni")
PAUSE = "localhost/pause:1"
NODE_TOOLS = ("kube-scheduler", "kube-proxy", "kubelet")
START_SECONDS = 60.0


class Node:
    """The daemons of one cluster's only node, with their files in one folder."""

    def __init__(self, directory: Path, plan: ClusterPlan, daemons: Daemons) -> None:
        """Describe a node; nothing is written or started yet."""
        self.directory = directory
        self.plan = plan
        self.daemons = daemons
        self.socket = directory / "containerd.sock"
        self.logs = directory / "pods"

    def start(self) -> None:
        """Write the configuration and start what isn't running."""
        self._write()
        make_cgroups(self.plan.id)
        self.daemons.start("containerd", ["containerd", "--config", self.directory / "containerd.toml"])
        wait_for("containerd's start", self._containerd_answers, seconds=START_SECONDS, blame=self._blame)
        binaries = tools.binaries(NODE_TOOLS)
        for name in NODE_TOOLS:
            self.daemons.start(name, [binaries[name], *self._flags(name)])

    def load(self, archive: Path) -> None:
        """Import an image archive, so that pods can use it without any registry."""
        run(["ctr", "--address", self.socket, "--namespace", "k8s.io", "images", "import", archive])

    def images(self) -> set[str]:
        """The names of the images that the node has."""
        listed = run(["ctr", "--address", self.socket, "--namespace", "k8s.io", "images", "list", "--quiet"])
        return set(listed.split())

    def start_containerd(self) -> None:
        """Start containerd alone, for images that must be there before the first pod."""
        self._write()
        self.daemons.start("containerd", ["containerd", "--config", self.directory / "containerd.toml"])
        wait_for("containerd's start", self._containerd_answers, seconds=START_SECONDS, blame=self._blame)

    def _containerd_answers(self) -> bool:
        return self.socket.exists() and self.daemons.alive("containerd") and self._version_answers()

    def _version_answers(self) -> bool:
        try:
            self.images()
        except Exception:  # noqa: BLE001 (whatever it is, the caller polls and tells the log's end)
            return False
        return True

    def _blame(self) -> str:
        return self.daemons.tail("containerd")

    def _write(self) -> None:
        for folder in ("cni", "pods", "volume-plugins"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        (self.directory / "resolv.conf").write_text("")  # pods ask the cluster's DNS; the host's is not theirs
        (self.directory / "containerd.toml").write_text(containerd_config(self.directory, self.plan))
        (self.directory / "cni" / "10-lab.conflist").write_text(json.dumps(cni_config(self.directory, self.plan)))
        (self.directory / "kubelet.yaml").write_text(json.dumps(kubelet_config(self.directory, self.plan)))

    def _flags(self, name: str) -> list[str]:
        account = f"--kubeconfig={self.directory / name}.kubeconfig"
        if name == "kube-scheduler":
            return [account, "--leader-elect=false", "--secure-port=0"]
        if name == "kube-proxy":
            return [
                account,
                "--proxy-mode=nftables",
                "--conntrack-max-per-core=0",  # the limit belongs to the host
                f"--cluster-cidr={self.plan.pod_cidr}",
                f"--hostname-override={self.plan.name}",
                "--nodeport-addresses=primary",
                "--metrics-bind-address=127.0.0.1:10249",
            ]
        return [
            account,
            f"--config={self.directory / 'kubelet.yaml'}",
            f"--root-dir={self.directory / 'kubelet'}",
            f"--hostname-override={self.plan.name}",
            f"--node-ip={self.plan.node_ip}",
        ]


def kubelet_config(directory: Path, plan: ClusterPlan) -> dict[str, object]:
    """The kubelet's configuration."""
    pki = directory / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": str(pki / "ca.crt")}, "webhook": {"enabled": True}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{directory / 'containerd.sock'}",
        "clusterDomain": "cluster.local",
        "clusterDNS": [plan.dns_ip],
        "resolvConf": str(directory / "resolv.conf"),
        "podLogsDir": str(directory / "pods"),
        "volumePluginDir": str(directory / "volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{plan.id}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {},
        "localStorageCapacityIsolation": False,
        "imageGCHighThresholdPercent": 100,  # images come by import only: one collected is one lost
        "makeIPTablesUtilChains": False,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "4s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "registryPullQPS": 0,
        "serializeImagePulls": False,
        "shutdownGracePeriod": "0s",
    }


def containerd_config(directory: Path, plan: ClusterPlan) -> str:
    """The containerd configuration: everything of this cluster stays in its folder."""
    del plan
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{directory}/containerd/root"
state = "{directory}/containerd/state"

[grpc]
  address = "{directory}/containerd.sock"

[{cri}]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true # without CAP_SYS_RESOURCE runc can't lower the score and ends with EOF
  netns_mounts_under_state_dir = true # else they lie in /run/netns, where nobody could tell whose they are
  disable_apparmor = true
  [{cri}.cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{directory}/cni"
  [{cri}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [{cri}.containerd.runtimes.runc.options]
      Root = "{directory}/containerd/runc"

[plugins."io.containerd.internal.v1.opt"]
  path = "{directory}/containerd/opt"
"""


def cni_config(directory: Path, plan: ClusterPlan) -> dict[str, object]:
    """The pods' network: a cable from each pod to its node, so that all traffic is routed and passes the service rules.

    On a bridge, answers between two pods of a node would bypass those rules unless the kernel has br_netfilter.
    """
    ipam = {
        "type": "host-local",
        "dataDir": str(directory / "ipam"),
        "ranges": [[{"subnet": node_pods(plan)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipMasq": False, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return {"cniVersion": "0.4.0", "name": plan.id, "plugins": plugins}


def node_pods(plan: ClusterPlan) -> str:
    """The first /24 of the pods' range, which the controller manager gives to the first node."""
    return plan.pod_cidr.replace("/20", "/24")


def make_cgroups(name: str) -> None:
    """Make the kubelet's cgroup under every controller of version 1 and in the hierarchy of version 2."""
    for root in cgroup_roots():
        (root / name).mkdir(exist_ok=True)


def cgroup_roots() -> list[Path]:
    """The roots of all mounted cgroup hierarchies."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return sorted(root for root in CGROUPS.iterdir() if (root / "cgroup.procs").exists() and not root.is_symlink())
