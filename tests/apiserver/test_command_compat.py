"""`gateway-operator compat` over a cluster: a release of ingress-nginx and Ingresses, with full and with few rights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway_operator.commands import compat
from gateway_operator.commands.session import Session
from gateway_operator.errors import Forbidden
from helm_runner import Helm
from lab.apiserver import ApiCluster
from lab.control import documents

PREFIX = "nginx.ingress.kubernetes.io/"
UPSTREAM = {"repository": "registry.example/ingress-nginx/controller", "tag": "v1.15.1"}


def ingress(name: str, **annotations: str) -> dict[str, Any]:
    """An Ingress; annotations are named with _ for -."""
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    notes = {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "annotations": notes},
        "spec": {"defaultBackend": backend},
    }


@pytest.fixture
def installed(api_cluster: ApiCluster, namespace: str, helm_binary: Path, tmp_path: Path) -> str:
    """A namespace with the controller's Deployment and ConfigMap, and two Ingresses."""
    controller = {
        "image": UPSTREAM,
        "config": {"proxy-body-size": "8m", "enable-modsecurity": "true"},
        "extraArgs": {"enable-topology-aware-routing": "true"},
    }
    rendered = Helm(helm_binary, tmp_path).render("ingress-nginx", {"controller": controller}, namespace=namespace)
    objects = [obj for obj in rendered.objects if obj["kind"] in {"Deployment", "ConfigMap"}]
    objects += [ingress("good", proxy_body_size="8m"), ingress("bad", server_snippet="return 200;")]
    api_cluster.kubectl("apply", "-n", namespace, "-f", "-", input=documents(objects))
    return namespace


async def test_a_cluster(api_cluster: ApiCluster, installed: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Flags, the ConfigMap that they name, and Ingresses are judged."""
    assert await compat.run(Session(api_cluster.kubeconfig, namespace=installed, output="json"), []) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ingresses"], told["configMaps"], told["controllers"]) == (2, 1, 1)
    results = {finding["name"]: finding["result"] for finding in told["findings"]}
    assert results[f"{PREFIX}proxy-body-size"] == results["proxy-body-size"] == results["--configmap"] == "works"
    bad = [f"{PREFIX}server-snippet", "enable-modsecurity", "--enable-topology-aware-routing"]
    assert {results[name] for name in bad} == {"not supported"}
    assert told["unread"] == []


async def test_few_rights(
    api_cluster: ApiCluster, installed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who may read Ingresses only gets a report on them, which says what it left out; who may not gets an error."""
    cluster, where = api_cluster, ("-n", installed)
    cluster.kubectl("create", "serviceaccount", "reader", *where)
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": cluster.kubectl("create", "token", "reader", *where).strip()}
    file = tmp_path / "reader.kubeconfig"
    file.write_text(json.dumps(config))
    session = Session(file, namespace=installed)
    with pytest.raises(Forbidden):
        await compat.run(session, [])
    cluster.kubectl("create", "role", "reader", "--verb=get,list", "--resource=ingresses", *where)
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={installed}:reader", *where)
    assert await compat.run(session, []) == 1
    text = capsys.readouterr().out
    assert "server-snippet" in text
    assert "not looked at: deployments:" in text
