"""The operator is upgraded while the gateways of its earlier version serve."""

from __future__ import annotations

import contextlib
from typing import Any

import yaml

from lab.demo.objects import ROOT
from lab.demo.story import OPERATOR_NAMESPACE, install_operator
from lab.demo.target import Target
from tests.e2e import objects as o
from tests.e2e.earlier import Earlier
from tests.e2e.stream import Stream

PROJECT, CLUSTER = "kubesphere-router-shop", "kubesphere-router-all"
CRDS = {"gateways": "Gateway", "nginxes": "Nginx"}


def _install_earlier(target: Target, before: Earlier) -> None:
    """Have the earlier operator alone in the cluster, with the CRDs of its chart."""
    o.uninstall_operator(target)
    target.kubectl("delete", "crd", *(f"{plural}.gateway.kubesphere.io" for plural in CRDS))
    repository, _, tag = before.image.name.rpartition(":")
    target.helm(
        *("install", "gateway-operator", str(before.chart), "-n", OPERATOR_NAMESPACE, "--create-namespace"),
        *("--set", f"image.repository={repository}", "--set", f"image.tag={tag}", "--wait", "--timeout", "3m"),
    )


def _schema(crd: dict[str, Any]) -> dict[str, Any]:
    return dict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"])


def _has_crds_of(target: Target, chart: Any) -> bool:
    """Whether the fields of the status are those of a chart's CRDs."""
    return all(
        _schema(target.get("crd", f"{plural}.gateway.kubesphere.io")).keys()
        == _schema(yaml.safe_load((chart / "files" / "crds" / f"{plural}.yaml").read_text())).keys()
        for plural in CRDS
    )


def _run(target: Target, image: str) -> bool:
    """Whether all pods of both gateways run this image, and no other pod is left."""
    for name in (PROJECT, CLUSTER):
        found = o.pods(target, f"{name}-ingress")
        if not found or {c["image"] for pod in found for c in pod["spec"]["containers"]} != {image}:
            return False
    return True


def test_upgrade_of_the_operator_with_requests_flowing(clean: Target, before: Earlier) -> None:
    """CRDs are today's, each gateway keeps Service, ports and Deployment by one upgrade at most, and no request fails.

    What is upgraded is the chart, the CRDs and the program of an earlier commit: no release is tagged yet.
    """
    today = ROOT / "charts" / "gateway-operator"
    for name in ("shop", "blog"):
        o.project(clean, name)
    try:
        _install_earlier(clean, before)
        assert not _has_crds_of(clean, today)
        clean.kubectl("apply", "-f", "-", text=o.gateway(PROJECT, project="shop"))
        o.ready(clean, PROJECT)
        clean.kubectl("apply", "-f", "-", text=o.gateway(CLUSTER))
        o.ready(clean, CLUSTER)
        assert _run(clean, before.image.name)
        ways = [o.route(clean, PROJECT, "shop"), o.route(clean, CLUSTER, "blog", tls=True)]
        for way in ways:
            o.answered(clean, way)
        held = {name: o.picture(clean, name) for name in (PROJECT, CLUSTER)}
        with contextlib.ExitStack() as flows:
            counts = [
                flows.enter_context(Stream(_url(clean, way), way.host, kept=kept).flowing())
                for way in ways
                for kept in (False, True)
            ]
            install_operator(clean)
            assert _has_crds_of(clean, today)
            clean.wait("all pods are today's", lambda: _run(clean, clean.image), 240)
            for name in (PROJECT, CLUSTER):
                o.ready(clean, name)
                assert o.picture(clean, name) == held[name]
                for release in (name, f"{name}-ingress"):
                    states = o.revisions(clean, release)
                    assert states[max(states)] == "deployed", (release, states)
                    assert max(states) <= 2, (release, states)
            sent = [sum(count.values()) for count in counts]
            clean.wait(
                "requests flow on",
                lambda: all(sum(count.values()) > past + 50 for count, past in zip(counts, sent, strict=True)),
                60,
            )
        assert [set(count) for count in counts] == [{"200"}] * 4, counts
        clean.kubectl("delete", "mgw", "--all", "-n", o.WORKING, "--timeout=300s")
        assert not clean.items("ngx", "-A")
    finally:
        install_operator(clean)


def _url(target: Target, way: Any) -> str:
    return f"{'https' if way.tls else 'http'}://{target.node_ip}:{way.port}/demo"
