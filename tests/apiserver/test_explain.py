"""`gateway-operator explain` over a real API server and over files: who answers, with which shares, and why."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusters_lab import apply, at_work, has, policy, prepare, run_service, until
from gateway_operator.clusters.evaluation import Place
from gateway_operator.clusters.members import MEMBERS
from gateway_operator.clusters.service import NGINXES, POLICIES
from gateway_operator.commands import explain
from gateway_operator.commands.session import Session
from gateway_operator.errors import ConfigError
from gateway_operator.kube import Api
from lab.apiserver import ApiCluster

PATH = "spec.rules[0].http.paths[0]"


def edge(namespace: str) -> dict[str, Any]:
    """A gateway that serves policies without a class."""
    return {
        "apiVersion": NGINXES.api_version,
        "kind": "Nginx",
        "metadata": {"name": "edge", "namespace": namespace},
        "spec": {"controller": {"watchIngressWithoutClass": True}},
    }


def here() -> dict[str, Any]:
    """The centre as a member of itself."""
    spec = {"local": True, "region": "south"}
    return {"apiVersion": MEMBERS.api_version, "kind": "MemberCluster", "metadata": {"name": "here"}, "spec": spec}


class Asked:
    """Asks as a person at a shell does."""

    def __init__(self, capsys: pytest.CaptureFixture[str], kubeconfig: Path | None, namespace: str) -> None:
        self.capsys, self.kubeconfig, self.namespace = capsys, kubeconfig, namespace

    async def answer(self, host: str, path: str, *files: Path, output: str = "json") -> tuple[int, Any]:
        """Return the exit code, and what was printed."""
        session = Session(kubeconfig=self.kubeconfig, namespace=self.namespace, output=output)
        self.capsys.readouterr()  # what the operator has logged
        code = await explain.run(session, host, path, files, Place())
        text = self.capsys.readouterr().out
        return code, json.loads(text) if output == "json" else text


async def test_the_cluster_is_asked(
    api: Api, api_cluster: ApiCluster, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Winner, shares as they are now, the gateway's word and the loser's turn; nobody's host ends with 1."""
    prepare(api_cluster)
    asked = Asked(capsys, api_cluster.kubeconfig, namespace)
    await run_service(api, namespace, "tea-svc", ["10.1.0.1", "10.1.0.2"])
    mine = policy(namespace, {"here": 80, "gone": 20})
    young = copy.deepcopy(mine)
    young["metadata"]["name"] = "young"
    host = mine["spec"]["rules"][0]["host"]
    await apply(api, edge(namespace), here(), mine, young)
    try:
        async with at_work(api, namespace):
            await until(lambda: has(api, "cafe", "BackendsReady", "True", namespace=namespace), "ready")
            await until(lambda: has(api, "cafe", "Programmed", "False", "GatewayNotReady", namespace), "no pod")
        code, told = await asked.answer(host, "/tea/green?x=1")
        answer = next(one for one in told["answers"] if one["gateway"] == f"{namespace}/edge")
        assert (code, answer["policy"], answer["where"]) == (0, f"ClusterTrafficPolicy {namespace}/cafe", PATH)
        assert [(c["name"], c["desired"], c["effective"], c["state"]) for c in answer["clusters"]] == [
            ("gone", "0.00%", "0.00%", "NotFound"),
            ("here", "100.00%", "100.00%", "Active"),
        ]
        assert answer["rivals"] == [f"ClusterTrafficPolicy {namespace}/young"]
        assert "no: gateway" in answer["acknowledged"]
        assert "has no ready pod" in answer["acknowledged"]
        code, text = await asked.answer(host, "/tea", output="table")
        assert f"{host}/tea is answered by ClusterTrafficPolicy {namespace}/cafe" in text
        assert f"older than    ClusterTrafficPolicy {namespace}/young" in text
        assert "weights: gone 20, here 80, of 100" in text
        assert (await asked.answer(host, "/teapot"))[0] == 1
        assert (await asked.answer("nobody.example.com", "/tea"))[0] == 1
        await api.delete(POLICIES, "cafe", namespace)
        _, told = await asked.answer(host, "/tea")
        assert {one["policy"] for one in told["answers"]} >= {f"ClusterTrafficPolicy {namespace}/young"}
    finally:
        for res, name, where in ((POLICIES, "young", namespace), (NGINXES, "edge", namespace), (MEMBERS, "here", None)):
            await api.delete(res, name, where)


async def test_files_are_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Policies, members and gateways in files need no cluster; what is missing or no YAML is told."""
    asked = Asked(capsys, None, "shop")
    mine = policy("shop", {"here": 80, "gone": 20})
    del mine["metadata"]["namespace"]
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all([mine, here(), edge("shop")]))
    code, told = await asked.answer("cafe.shop.example.com", "/tea", file)
    (answer,) = told["answers"]
    assert (code, answer["gateway"], answer["policy"]) == (0, "shop/edge", "ClusterTrafficPolicy shop/cafe")
    assert answer["acknowledged"] == ""
    assert [(c["name"], c["effective"]) for c in sorted(answer["clusters"], key=lambda c: c["name"])] == [
        ("gone", "0.00%"),
        ("here", "100.00%"),
    ]
    assert (await asked.answer("cafe.shop.example.com", "/", file))[0] == 1
    for text, why in (("{", "can't be read as YAML"), ("kind: Pod", "there is no ClusterTrafficPolicy in")):
        file.write_text(text)
        with pytest.raises(ConfigError, match=why):
            await asked.answer("cafe.shop.example.com", "/tea", file)
