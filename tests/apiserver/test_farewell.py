"""Uninstalling the operator leaves gateways as they are, and nothing that waits for a finalizer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.apiserver import ApiCluster
from tests import forked

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = "gateways.gateway.kubesphere.io"


class Installed:
    """The operator's chart, installed in a namespace; its pods are processes of this machine."""

    def __init__(self, cluster: ApiCluster, helm: Path, folder: Path, namespace: str) -> None:
        self.cluster, self.program, self.folder, self.namespace = cluster, helm, folder, namespace
        self.name = f"op-{uuid.uuid4().hex[:6]}"
        self.deployment = f"{self.name}-gateway-operator"

    def helm(self, *args: str, values: dict[str, Any] | None = None) -> None:
        env = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}
        command = [str(self.program), *args, "--namespace", self.namespace, *(["-f", "-"] if values else [])]
        done = subprocess.run(command, env=env, input=json.dumps(values), text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr

    def install(self) -> None:
        values = {
            "watchNamespaces": [self.namespace],
            "gateway": {"namespace": self.namespace, "createNamespace": False, "repository": "x/gateway-operator"},
            "adoptCrds": True,
        }
        chart = str(ROOT / "charts" / "gateway-operator")
        self.helm("install", self.name, chart, "--take-ownership", "--force-conflicts", values=values)

    def look(self, *what: str) -> dict[str, Any]:
        found = self.cluster.kubectl("get", *what, "-n", self.namespace, "-o", "json", "--ignore-not-found")
        return json.loads(found) if found.strip() else {}

    def kubeconfig(self) -> Path:
        """Credentials as the pods have them."""
        token = self.cluster.kubectl("create", "token", self.deployment, "-n", self.namespace, "--duration=1h").strip()
        file = self.folder / "kubeconfig"
        cluster = {"server": self.cluster.url, "certificate-authority": str(self.cluster.ca_file)}
        file.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": {"token": token}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        return file

    def config(self) -> Path:
        """The settings that the chart wrote, but for what is another on this machine."""
        data = self.look("configmap", self.deployment)["data"]["config.yaml"]
        settings = yaml.safe_load(data)
        settings["gateway"]["watchesPath"] = str(ROOT / "watches.yaml")
        settings |= {"metricsBindAddress": "", "healthProbeBindAddress": "", "helm": str(self.program)}
        file = self.folder / "config.yaml"
        file.write_text(yaml.safe_dump(settings))
        return file

    @contextlib.contextmanager
    def pods(self, count: int) -> Iterator[list[forked.Fork]]:
        """Run replicas, as forks, with the rights of the chart's ServiceAccount."""
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig()), "POD_NAMESPACE": self.namespace}
        arguments = ["run", "--config", str(self.config())]
        with contextlib.ExitStack() as stack:
            logs = [stack.enter_context((self.folder / f"log{n}").open("wb")) for n in range(count)]
            started = [forked.program(forked.OPERATOR, arguments, env=env, log=log) for log in logs]
            try:
                yield started
            finally:
                for process in started:
                    if process.poll() is None:
                        process.kill()
                    process.wait()

    def log(self) -> str:
        return "".join(file.read_text()[-3000:] for file in self.folder.glob("log*"))


@pytest.fixture
def installed(api_cluster: ApiCluster, helm_binary: Path, tmp_path: Path, namespace: str) -> Installed:
    made = Installed(api_cluster, helm_binary, tmp_path, namespace)
    made.install()
    return made


def wait(op: Installed, holds, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, op.log()
        time.sleep(0.2)


def _gateway(op: Installed) -> None:
    body = {
        "apiVersion": "gateway.kubesphere.io/v1alpha1",
        "kind": "Gateway",
        "metadata": {"name": "shop", "namespace": op.namespace},
        "spec": {"service": {"type": "ClusterIP"}, "controller": {"scope": {"enabled": True}}},
    }
    op.cluster.kubectl("apply", "-f", "-", input=json.dumps(body))


def _finalizers(op: Installed) -> list[str]:
    found = [op.look(kind).get("items", []) for kind in (GATEWAY, "nginxes.gateway.kubesphere.io")]
    return [f for items in found for item in items for f in item["metadata"].get("finalizers") or []]


def _kept(op: Installed) -> list[str]:
    kinds = ("clusterrole", "clusterrolebinding", "serviceaccount")
    names = (f"{op.deployment}-farewell", f"{op.deployment}-farewell", op.deployment)
    return [kind for kind, name in zip(kinds, names, strict=True) if op.look(kind, name)]


def test_after_helm_uninstall_gateways_stay_and_wait_for_nobody(installed: Installed) -> None:
    """With two replicas: finalizers go, releases stay, and what the chart kept for that moment goes as well."""
    with installed.pods(2) as pods:
        _gateway(installed)
        wait(installed, lambda: installed.look("deployment", "shop") and len(_finalizers(installed)) == 2)
        installed.helm("uninstall", installed.name)
        assert _kept(installed) == ["clusterrole", "clusterrolebinding", "serviceaccount"]
        for pod in pods:
            pod.send_signal(signal.SIGTERM)
        assert [pod.wait(120) for pod in pods] == [0, 0], installed.log()
    assert _finalizers(installed) == [], installed.log()
    wait(installed, lambda: _kept(installed) == [])
    assert installed.look("deployment", "shop")
    assert len(installed.look("secret", "-l", "owner=helm")["items"]) == 2
    installed.cluster.kubectl("delete", GATEWAY, "shop", "-n", installed.namespace, "--timeout=10s")


def test_a_pod_that_is_only_replaced_takes_nothing_off(installed: Installed) -> None:
    """SIGTERM while the Deployment is there is no farewell."""
    with installed.pods(1) as [pod]:
        _gateway(installed)
        wait(installed, lambda: len(_finalizers(installed)) == 2)
        pod.send_signal(signal.SIGTERM)
        assert pod.wait(120) == 0
    assert len(_finalizers(installed)) == 2
    assert len(_kept(installed)) == 3
    installed.cluster.kubectl(
        *("patch", GATEWAY, "shop", "-n", installed.namespace, "--type=merge"), "-p", '{"metadata":{"finalizers":null}}'
    )
