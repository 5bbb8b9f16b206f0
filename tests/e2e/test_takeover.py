"""Live gateways of other programs become ours while requests flow through them, and go on without the operator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from lab import tools
from lab.demo.story import install_operator
from lab.demo.target import Target
from tests.e2e import objects as o
from tests.e2e.stream import Stream

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


def _pods_of_old(target: Target) -> dict[str, Any]:
    """Values of the old chart that make its pods run here: an nginx that sends all to the shop."""
    address = target.get("service", "shop", "-n", "shop")["spec"]["clusterIP"]
    return {
        "image": target.image,
        "command": ["nginx", "-g", "daemon off;", "-c", "/etc/old/nginx.conf"],
        "conf": CONF.replace("SERVICE", address),
        "ports": {"http": 8080, "https": 8443},
        "controller": {"readiness": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}},
    }


def _plant(target: Target) -> None:
    """Make what KubeSphere 3.4 leaves: a Gateway, an Nginx, and two releases of Helm 3."""
    spec = {"controller": {"scope": {"enabled": True, "namespace": "shop"}}, "service": {"type": "NodePort"}}
    meta = {"name": NAME, "namespace": o.WORKING, "finalizers": [FINALIZER]}
    body = {"apiVersion": "gateway.kubesphere.io/v1alpha1", "kind": "Gateway", "metadata": meta, "spec": spec}
    target.kubectl("apply", "-f", "-", text=json.dumps(body))
    gateway = target.get("mgw", NAME, "-n", o.WORKING)
    _kubesphere(target, NAME, "old-gateway", {**spec, "owner": _owner(gateway)})
    patch = json.dumps({"metadata": {"finalizers": [FINALIZER]}})
    target.kubectl("patch", "ngx", NGINX, "-n", o.WORKING, "--type=merge", "-p", patch)
    nginx = target.get("ngx", NGINX, "-n", o.WORKING)
    old = _pods_of_old(target)
    old["controller"] |= nginx["spec"]["controller"]
    _kubesphere(target, NGINX, "old-ingress-nginx", {**nginx["spec"], **old, "owner": _owner(nginx)})
    target.kubectl("rollout", "status", f"deployment/{NAME}", "-n", o.WORKING, "--timeout=300s")


def _owner(obj: dict[str, Any]) -> dict[str, Any]:
    meta = obj["metadata"]
    names = {"kind": obj["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {"apiVersion": obj["apiVersion"], "controller": True, "blockOwnerDeletion": True, **names}


def _kubesphere(target: Target, name: str, chart: str, values: dict[str, Any]) -> None:
    """Install as KubeSphere's program does, in whose name the fields are then."""
    _helm3(target, "install", name, str(CHARTS / chart), "-n", o.WORKING, values=values, name="ks-controller-manager")


def _helm3(target: Target, *args: str, values: dict[str, Any] | None = None, name: str = "helm") -> str:
    command = [name, *args, *(["-f", "-"] if values is not None else [])]
    env = {**os.environ, "KUBECONFIG": str(target.kubeconfig)}
    executable = tools.binary("helm3")
    done = subprocess.run(
        command, executable=executable, input=json.dumps(values), env=env, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _finalizers(target: Target) -> list[str]:
    found = [item for kind in ("mgw", "ngx") for item in target.items(kind, "-A")]
    return [f for item in found for f in item["metadata"].get("finalizers") or []]


def test_take_over_with_requests_flowing_and_life_without_the_operator(clean: Target) -> None:
    """No request fails on the way from KubeSphere's gateway to ours, nor while the operator is uninstalled."""
    o.project(clean, "shop")
    o.uninstall_operator(clean)
    try:
        _plant(clean)
        before = o.picture(clean, NAME)
        way = o.route(clean, NAME, "shop")
        o.answered(clean, way)
        with Stream(f"http://{clean.node_ip}:{way.port}/demo", way.host).flowing() as answers:
            install_operator(clean)
            clean.wait("our pods serve", lambda: _are_ours(clean, NGINX, o.WORKING), 240)
            o.ready(clean, NAME)
            assert o.picture(clean, NAME) == before
            assert len(o.pods(clean, NGINX)) == 1
            for release in (NAME, NGINX):
                assert sorted(o.revisions(clean, release)) == [1, 2], release
            taken = sum(answers.values())
            assert _finalizers(clean) == [FINALIZER, FINALIZER]
            o.uninstall_operator(clean)
            assert _finalizers(clean) == []
            clean.wait("requests flow on", lambda: sum(answers.values()) > taken + 100)
        assert set(answers) == {"200"}, answers
        assert not clean.get("clusterrole", "gateway-operator-farewell")
    finally:
        install_operator(clean)
    clean.wait("the operator holds its objects again", lambda: len(_finalizers(clean)) == 2)
    o.ready(clean, NAME)
    clean.kubectl("delete", "mgw", NAME, "-n", o.WORKING, "--timeout=300s")
    assert not clean.get("service", NAME, "-n", o.WORKING)


def _are_ours(target: Target, release: str, namespace: str) -> bool:
    """Whether all pods of a release are ours, and the old ones gone."""
    found = [{c["name"] for c in pod["spec"]["containers"]} for pod in o.pods(target, release, namespace)]
    return bool(found) and all(names == {"controller", "nginx"} for names in found)


PLAIN = "ingress-nginx"  # release and namespace, as in upstream's first example
CONTROLLER = f"{PLAIN}-controller"
USERS = {"controller": {"replicaCount": 2, "service": {"type": "NodePort"}, "config": {"proxy-body-size": "8m"}}}


def _install_plain(target: Target, folder: Path) -> dict[str, Any]:
    """Install ingress-nginx by Helm 3, as a user does; returns what `helm get values` then says.

    Upstream's chart and image are not to be had here: a chart of the same name makes objects of the same names, labels
    and selectors, and its defaults name an image that runs here.
    """
    chart = shutil.copytree(CHARTS / "old-ingress-nginx", folder / PLAIN)
    defaults = yaml.safe_load((chart / "values.yaml").read_text())
    pods = _pods_of_old(target)
    pods["controller"] = defaults["controller"] | pods["controller"]
    (chart / "values.yaml").write_text(yaml.safe_dump(defaults | pods))
    target.kubectl("create", "namespace", PLAIN)
    target.kubectl("label", "namespace", PLAIN, "e2e=own")
    _helm3(target, "install", PLAIN, str(chart), "-n", PLAIN, values=USERS)
    target.kubectl("rollout", "status", f"deployment/{CONTROLLER}", "-n", PLAIN, "--timeout=300s")
    return dict(yaml.safe_load(_helm3(target, "get", "values", PLAIN, "-n", PLAIN, "-o", "yaml")))


def test_an_ingress_nginx_release_becomes_ours_with_requests_flowing(clean: Target, tmp_path: Path) -> None:
    """No request fails while a plain release becomes an Nginx of its name, with the same Service, ports and address."""
    o.project(clean, "shop")
    try:
        values = _install_plain(clean, tmp_path)
        before = o.picture(clean, CONTROLLER, PLAIN)
        way = o.route(clean, CONTROLLER, "shop", PLAIN)
        o.answered(clean, way)
        meta = {"name": PLAIN, "namespace": PLAIN}
        nginx = {"apiVersion": "gateway.kubesphere.io/v1alpha1", "kind": "Nginx", "metadata": meta, "spec": values}
        with Stream(f"http://{clean.node_ip}:{way.port}/demo", way.host).flowing() as answers:
            clean.kubectl("apply", "-f", "-", text=yaml.safe_dump(nginx))
            clean.wait("our pods serve", lambda: _are_ours(clean, PLAIN, PLAIN), 240)
            clean.kubectl("wait", f"ngx/{PLAIN}", "-n", PLAIN, "--for=condition=Ready", "--timeout=300s")
            assert o.picture(clean, CONTROLLER, PLAIN) == before
            assert o.revisions(clean, PLAIN, PLAIN) == {1: "superseded", 2: "deployed"}
            assert len(o.pods(clean, PLAIN, PLAIN)) == 2
            o.project(clean, "blog")  # no webhook of the old release is in the way
            o.answered(clean, o.route(clean, CONTROLLER, "blog", PLAIN, tls=True))
        assert set(answers) == {"200"}, answers
    finally:
        clean.kubectl("delete", "validatingwebhookconfiguration", f"{PLAIN}-admission", "--ignore-not-found")
    clean.kubectl("delete", "ngx", PLAIN, "-n", PLAIN, "--timeout=300s")
    assert o.revisions(clean, PLAIN, PLAIN) == {}
