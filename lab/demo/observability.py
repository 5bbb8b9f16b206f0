"""Elasticsearch, Prometheus and the shipping of logs beside the demo's centre, as a platform has them.

They run on the centre's node as programs of the host, fed by what the centre's kubelet and gateways give out by
themselves, and end with the lab.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.cluster import Cluster, Lab
from lab.control import documents
from lab.demo import objects
from lab.paths import say
from lab.process import wait_for
from lab.servers.elasticsearch import READER, Elasticsearch
from lab.servers.place import Place
from lab.servers.prometheus import Gateways, Prometheus
from lab.servers.shipper import Shipper

SCRAPE_SECONDS = 2
COLLECTED_SECONDS = 1.5  # nginx' workers bring their counts together each second
PATIENCE = 120.0
_SECRET = "observability-credentials"  # noqa: S105 (its name)
_ACCOUNT = "prometheus"


@dataclass(frozen=True)
class Servers:
    """What runs."""

    elasticsearch: Elasticsearch
    prometheus: Prometheus

    def values(self) -> list[str]:
        """What the operator's chart must be told of it."""
        logs, metrics = "api.config.observability.elasticsearch", "api.config.observability.prometheus"
        credentials = "/etc/gateway-operator-credentials"
        return [
            f"api.credentialsSecret={_SECRET}",
            f"{logs}.urls[0]={self.elasticsearch.url}",
            f"{logs}.caFile={credentials}/elasticsearch-ca.crt",
            f"{logs}.username={READER}",
            f"{logs}.passwordFile={credentials}/elasticsearch-password",
            f"{metrics}.url={self.prometheus.url}",
            f"{metrics}.scrapeInterval={SCRAPE_SECONDS}",
        ]

    def credentials(self) -> str:
        """The Secret that these values name."""
        content = {
            "elasticsearch-ca.crt": self.elasticsearch.ca_file.read_text(),
            "elasticsearch-password": self.elasticsearch.password,
        }
        meta = {"name": _SECRET, "namespace": objects.OPERATOR_NAMESPACE}
        return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": content})

    def scraped(self, jobs: Iterable[str]) -> None:
        """Wait until Prometheus has seen all that the gateways have counted up to now. Raises LabError."""
        after = time.time() + COLLECTED_SECONDS
        for job in jobs:
            text = f'min(timestamp(up{{job="{job}"}} == 1))'

            def seen(text: str = text) -> bool:
                found = self.prometheus.query(text, time.time())
                return bool(found) and float(found[0]["value"][1]) > after

            wait_for(f"Prometheus' scrape of {job}", seen, seconds=PATIENCE)


def up(lab: Lab, centre: Cluster) -> Servers:
    """Start what doesn't run. Raises LabError."""
    folder, place = lab.servers, Place.node(centre.plan)
    elasticsearch = Elasticsearch.find(folder / "elasticsearch")
    if elasticsearch is None:
        say(f"starting Elasticsearch on the node {centre.name} ...")
        elasticsearch = Elasticsearch.start(folder / "elasticsearch", place)
    Shipper.start(folder / "shipper", elasticsearch, [centre.node.logs], tied=False)
    prometheus = Prometheus.find(folder / "prometheus")
    if prometheus is None:
        say(f"starting Prometheus on the node {centre.name} ...")
        gateways = Gateways(_account(centre, folder / "prometheus.kubeconfig"), objects.WORKING_NAMESPACE)
        prometheus = Prometheus.start(folder / "prometheus", place, interval=f"{SCRAPE_SECONDS}s", gateways=gateways)
    return Servers(elasticsearch, prometheus)


def _account(centre: Cluster, path: Path) -> Path:
    """A kubeconfig with which Prometheus may find pods, and nothing else."""
    centre.kubectl("apply", "-f", "-", input=_account_objects())
    found: dict[str, str] = {}

    def token() -> bool:
        listed = centre.kubectl("get", "secret", _ACCOUNT, "-n", objects.OPERATOR_NAMESPACE, "-o", "json")
        found.update(json.loads(listed).get("data") or {})
        return "token" in found

    wait_for("the token of Prometheus' account", token, seconds=PATIENCE)
    config: dict[str, Any] = json.loads(centre.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": objects.unbase64(found["token"])}
    path.touch(0o600)
    path.write_text(json.dumps(config))
    return path


def _account_objects() -> str:
    name, namespace, rbac = _ACCOUNT, objects.OPERATOR_NAMESPACE, "rbac.authorization.k8s.io"
    meta = {"name": name, "namespace": namespace}
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
    ]
    subject = {"kind": "ServiceAccount", **meta}
    role = {"apiGroup": rbac, "kind": "ClusterRole", "name": name}
    annotations = {"kubernetes.io/service-account.name": name}
    items: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/service-account-token",
            "metadata": {**meta, "annotations": annotations},
        },
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": role,
            "subjects": [subject],
        },
    ]
    return documents(items)
