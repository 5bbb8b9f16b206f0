"""A centre with two members, one gateway in front of the app of all three, and what a test does with them."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from lab import load
from lab.cluster import Lab
from lab.demo import clusters, objects
from lab.demo.story import install_operator, lab_target
from lab.demo.target import Target
from lab.images import ECHO
from tests.e2e import objects as o

GATEWAY = "kubesphere-router-all"
PATH = "/tea"
SIGMAS = 3.0


@dataclass(frozen=True)
class World:
    """The clusters; `port` is the gateway's node port in the centre."""

    target: Target
    lab: Lab
    port: int

    def way(self, host: str, path: str = PATH) -> load.Way:
        """The way to a host of a policy."""
        return load.Way(self.target.node_ip, self.port, f"{host}.example.com", path)

    def apply(self, name: str, weights: Mapping[str, int], *, host: str = "", **backend: Any) -> load.Way:
        """Write a policy and return the way to it; it need not be served yet."""
        self.target.kubectl("apply", "-f", "-", text=policy(name, weights, host=host or name, **backend))
        return self.way(host or name)

    def served(self, name: str, weights: Mapping[str, int], *, host: str = "", **backend: Any) -> load.Way:
        """Write a policy and wait until the gateway has acknowledged it and somebody answers."""
        way = self.apply(name, weights, host=host, **backend)
        self.until(name, "Programmed")
        self.until(name, "BackendsReady")
        self.target.wait(f"{name} answers", lambda: load.ask(way).ok)
        return way

    def conditions(self, name: str) -> dict[str, dict[str, Any]]:
        """The conditions of a policy that are about it as it is now, by type."""
        found = self.target.get("ctp", name, "-n", "default")
        current = found.get("metadata", {}).get("generation")
        conditions = found.get("status", {}).get("conditions", [])
        return {c["type"]: c for c in conditions if c.get("observedGeneration") == current}

    def until(self, name: str, type_: str, status: str = "True") -> dict[str, Any]:
        """Wait for a condition of a policy."""
        what = f"{name}: {type_}={status}"
        self.target.wait(what, lambda: self.conditions(name).get(type_, {}).get("status") == status)
        return self.conditions(name)[type_]

    def states(self, name: str) -> dict[str, str]:
        """The state of each cluster in a policy's status."""
        backends = self.target.get("ctp", name, "-n", "default").get("status", {}).get("backends", [])
        return {cluster["name"]: cluster["state"] for backend in backends for cluster in backend["clusters"]}

    def member(self, name: str, type_: str = "Connected") -> str:
        """The status of a member's condition."""
        return str(o.conditions(self.target, "mcl", name, "").get(type_, {}).get("status", ""))

    def mirrored(self, cluster: str) -> dict[str, str]:
        """The resource versions of what the centre has of a member: none changes while nothing is written."""
        selector = f"multicluster.kubernetes.io/source-cluster={cluster}"
        found = self.target.items("endpointslices", "-A", "-l", selector)
        return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in found}

    @contextlib.contextmanager
    def cut(self, name: str) -> Iterator[None]:
        """Cut a member off for as long as the block."""
        self.lab[name].cut()
        try:
            yield
        finally:
            self.lab[name].heal()


@contextlib.contextmanager
def world(name: str, *, keep: bool) -> Iterator[World]:
    """Bring the clusters up, with the operator, a cluster gateway and members; all of it ends with the block."""
    if not keep and (old := Lab.find(name)):
        old.down()
    try:
        target = lab_target(name, members=clusters.MEMBERS)
        lab = Lab.find(name)
        assert lab
        with ThreadPoolExecutor() as threads:  # the members' pods start meanwhile
            apps = [threads.submit(_app, lab, cluster.name) for cluster in lab]
            install_operator(target)
            target.kubectl("apply", "-f", "-", text=o.gateway(GATEWAY))
            target.kubectl("apply", "-f", "-", text=_here())
            for member in clusters.MEMBERS:
                clusters.join(target, lab[member])
            for app in apps:
                app.result()
            o.ready(target, GATEWAY)
        yield World(target, lab, o.node_ports(target, GATEWAY)["http"])
    finally:
        if not keep and (lab := Lab.find(name)):
            lab.down()


def _app(lab: Lab, name: str) -> None:
    lab[name].kubectl("apply", "-f", "-", input=objects.cafe(name, ECHO))
    lab[name].kubectl("rollout", "status", "deployment/tea", "--timeout=300s")


def _here() -> str:
    """The centre as a member of its own."""
    meta = {"name": clusters.CENTRE}
    return json.dumps(
        {"apiVersion": "k8s.nginx.org/v1", "kind": "MemberCluster", "metadata": meta, "spec": {"local": True}}
    )


def policy(name: str, weights: Mapping[str, int], *, host: str, **backend: Any) -> str:
    """A policy for the tea of several clusters."""
    backend |= {
        "service": {"name": "tea-svc", "port": {"number": 80}},
        "clusterTrafficPolicy": [{"name": cluster, "weight": weight} for cluster, weight in weights.items()],
    }
    rule = {
        "host": f"{host}.example.com",
        "http": {"paths": [{"path": PATH, "pathType": "Prefix", "backend": backend}]},
    }
    return json.dumps(
        {
            "apiVersion": "k8s.nginx.org/v1",
            "kind": "ClusterTrafficPolicy",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"rules": [rule]},
        }
    )


def within(answers: Mapping[str, int], weights: Mapping[str, int], sigmas: float = SIGMAS) -> bool:
    """Whether each cluster's count lies within so many standard deviations of its share, and nobody else answered."""
    total, whole = sum(answers.values()), sum(weights.values())

    def near(name: str) -> bool:
        share = weights[name] / whole
        return abs(answers.get(name, 0) - total * share) <= sigmas * math.sqrt(total * share * (1 - share))

    return not answers.keys() - weights.keys() and all(map(near, weights))


def explain(target: Target, host: str, path: str = PATH) -> subprocess.CompletedProcess[str]:
    """What `gateway-operator explain` says."""
    return clusters.program(target, "explain", f"{host}.example.com", path)


def failures(answers: list[load.Answer]) -> Counter[str]:
    """What wasn't answered well."""
    return Counter(answer.giver for answer in answers if not answer.ok)
