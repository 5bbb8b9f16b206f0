"""Manifests as objects."""

from __future__ import annotations

from gateway_operator.releases.objects import ObjectId, build_manifest, parse_manifest

TEXT = """
---
# Source: nothing but a comment
---
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: {x: z}}
data: {date: 2026-01-01, sign: =, yes: "1"}
---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Secret
    metadata: {name: s, namespace: ns}
    stringData: {a: b}
    data: {c: ZA==}
status: {}
"""


def test_documents_lists_and_odd_scalars():
    """Comments are no objects, lists are opened, dates and a lone = are text as Kubernetes reads them."""
    config, secret = parse_manifest(TEXT)
    assert config["data"]["date"] == "2026-01-01"
    assert config["data"]["sign"] == "="
    assert secret["kind"] == "Secret"


def test_manifest_has_what_helm_adds():
    """Label and annotations, so that their loss is drift; stringData as data, so that it can be compared."""
    manifest = build_manifest(parse_manifest(TEXT), version=3, chart="c-1", digest="d", release=("ns", "web"))
    assert manifest.ids == (ObjectId("v1", "ConfigMap", "", "a"), ObjectId("v1", "Secret", "ns", "s"))
    config, secret = manifest.objects()
    assert config["metadata"]["labels"] == {"x": "z", "app.kubernetes.io/managed-by": "Helm"}
    assert config["metadata"]["annotations"] == {
        "meta.helm.sh/release-name": "web",
        "meta.helm.sh/release-namespace": "ns",
    }
    assert secret["data"] == {"a": "Yg==", "c": "ZA=="}
    assert "stringData" not in secret
    assert manifest.find(manifest.ids[0]) == config
    assert manifest.find(ObjectId("v1", "Pod", "", "a")) is None
