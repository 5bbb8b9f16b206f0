"""A live gateway of KubeSphere becomes ours while requests flow through it, and goes on without the operator."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

from lab import tools
from lab.demo.story import OPERATOR_NAMESPACE, install_operator
from lab.demo.target import Target
from tests.e2e import objects as o

CHARTS = Path(__file__).resolve().parents[1] / "apiserver" / "charts"
NAME = "kubesphere-router-shop"
NGINX = f"{NAME}-ingress"
FINALIZER = "uninstall-helm-release"
CONF = """
pid /tmp/nginx.pid;
error_log stderr;
events {}
http {
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u;
  scgi_temp_path /tmp/s;
  server { listen 8080; location / { proxy_pass http://SERVICE; } }
}
"""


class Stream:
    """Requests without a pause, each over a connection of its own."""

    def __init__(self, url: str, host: str) -> None:
        self.url, self.host = url, host
        self.answers: Counter[str] = Counter()
        self._ends = threading.Event()

    @contextlib.contextmanager
    def flowing(self) -> Iterator[Counter[str]]:
        thread = threading.Thread(target=lambda: asyncio.run(self._send()))
        thread.start()
        try:
            yield self.answers
        finally:
            self._ends.set()
            thread.join()

    async def _send(self) -> None:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), timeout=timeout) as session:
            while not self._ends.is_set():
                try:
                    async with session.get(self.url, headers={"Host": self.host}) as answer:
                        await answer.read()
                        self.answers[str(answer.status)] += 1
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    self.answers[f"{type(error).__name__}: {error}"] += 1
                await asyncio.sleep(0.01)


def _plant(target: Target) -> None:
    """Make what KubeSphere 3.4 leaves: a Gateway, an Nginx, and two releases of Helm 3."""
    spec = {"controller": {"scope": {"enabled": True, "namespace": "shop"}}, "service": {"type": "NodePort"}}
    meta = {"name": NAME, "namespace": o.WORKING, "finalizers": [FINALIZER]}
    body = {"apiVersion": "gateway.kubesphere.io/v1alpha1", "kind": "Gateway", "metadata": meta, "spec": spec}
    target.kubectl("apply", "-f", "-", text=json.dumps(body))
    gateway = target.get("mgw", NAME, "-n", o.WORKING)
    _helm3(target, NAME, "old-gateway", {**spec, "owner": _owner(gateway)})
    patch = json.dumps({"metadata": {"finalizers": [FINALIZER]}})
    target.kubectl("patch", "ngx", NGINX, "-n", o.WORKING, "--type=merge", "-p", patch)
    nginx = target.get("ngx", NGINX, "-n", o.WORKING)
    address = target.get("service", "shop", "-n", "shop")["spec"]["clusterIP"]
    old = {
        "owner": _owner(nginx),
        "image": target.image,
        "command": ["nginx", "-g", "daemon off;", "-c", "/etc/old/nginx.conf"],
        "conf": CONF.replace("SERVICE", address),
        "ports": {"http": 8080, "https": 8443},
        "controller": {**nginx["spec"]["controller"], "readiness": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}},
    }
    _helm3(target, NGINX, "old-ingress-nginx", {**nginx["spec"], **old})
    target.kubectl("rollout", "status", f"deployment/{NAME}", "-n", o.WORKING, "--timeout=120s")


def _owner(obj: dict[str, Any]) -> dict[str, Any]:
    meta = obj["metadata"]
    names = {"kind": obj["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {"apiVersion": obj["apiVersion"], "controller": True, "blockOwnerDeletion": True, **names}


def _helm3(target: Target, name: str, chart: str, values: dict[str, Any]) -> None:
    command = ["ks-controller-manager", "install", name, str(CHARTS / chart), "-n", o.WORKING, "-f", "-"]
    env = {**os.environ, "KUBECONFIG": str(target.kubeconfig)}
    executable = tools.binary("helm3")
    done = subprocess.run(
        command, executable=executable, input=json.dumps(values), env=env, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _picture(target: Target) -> dict[str, Any]:
    service = target.get("service", NAME, "-n", o.WORKING)
    deployment = target.get("deployment", NAME, "-n", o.WORKING)
    return {
        "service": service["metadata"]["uid"],
        "clusterIP": service["spec"]["clusterIP"],
        "ports": o.node_ports(target, NAME),
        "deployment": deployment["metadata"]["uid"],
    }


def _uninstall_operator(target: Target) -> None:
    target.helm("uninstall", "gateway-operator", "-n", OPERATOR_NAMESPACE, "--wait")
    target.wait(
        "the operator's pods are gone", lambda: not target.get("pods", "-n", OPERATOR_NAMESPACE).get("items"), 120
    )


def _finalizers(target: Target) -> list[str]:
    found = [item for kind in ("mgw", "ngx") for item in target.get(kind, "-A").get("items", [])]
    return [f for item in found for f in item["metadata"].get("finalizers") or []]


def test_take_over_with_requests_flowing_and_life_without_the_operator(clean: Target) -> None:
    """No request fails on the way from KubeSphere's gateway to ours, nor while the operator is uninstalled."""
    o.project(clean, "shop")
    _uninstall_operator(clean)
    try:
        _plant(clean)
        before = _picture(clean)
        way = o.route(clean, NAME, "shop")
        o.answered(clean, way)
        with Stream(f"http://{clean.node_ip}:{way.port}/demo", way.host).flowing() as answers:
            install_operator(clean)
            clean.wait("our pods serve", lambda: _is_ours(clean), 240)
            o.ready(clean, NAME)
            assert _picture(clean) == before
            for release in (NAME, NGINX):
                secrets = clean.get("secret", "-n", o.WORKING, "-l", f"owner=helm,name={release}").get("items", [])
                assert sorted(s["metadata"]["labels"]["version"] for s in secrets) == ["1", "2"], release
            clean.wait("the old pods are gone", lambda: len(_pods(clean)) == 1, 120)
            taken = sum(answers.values())
            assert _finalizers(clean) == [FINALIZER, FINALIZER]
            _uninstall_operator(clean)
            assert _finalizers(clean) == []
            clean.wait("requests flow on", lambda: sum(answers.values()) > taken + 100, 60)
        assert set(answers) == {"200"}, answers
        assert not clean.get("clusterrole", "gateway-operator-farewell")
    finally:
        install_operator(clean)
    clean.wait("the operator holds its objects again", lambda: len(_finalizers(clean)) == 2, 120)
    o.ready(clean, NAME)
    clean.kubectl("delete", "mgw", NAME, "-n", o.WORKING, "--timeout=120s")
    assert not clean.get("service", NAME, "-n", o.WORKING)


def _pods(target: Target) -> list[dict[str, Any]]:
    return list(target.get("pods", "-n", o.WORKING, "-l", f"app.kubernetes.io/instance={NGINX}").get("items", []))


def _is_ours(target: Target) -> bool:
    return any({c["name"] for c in pod["spec"]["containers"]} == {"controller", "nginx"} for pod in _pods(target))
