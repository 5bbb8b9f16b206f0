"""CRDs of our groups that others own."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_operator.releases.chart import Chart
from gateway_operator.releases.crds import crd_problem
from gateway_operator.releases.watches import Watch

WATCH = Watch("gateway.kubesphere.io", "v1alpha1", "Gateway", Chart(Path(), "c", "1", "d"))
OURS = {"app.kubernetes.io/part-of": "gateway-operator"}


def crd(stored, labels):
    """A CRD that serves two versions."""
    versions = [{"name": v, "storage": v == stored} for v in ("v1alpha1", "v2")]
    return {"metadata": {"name": "gateways.gateway.kubesphere.io", "labels": labels}, "spec": {"versions": versions}}


@pytest.mark.parametrize(
    ("stored", "labels", "text"),
    [
        ("v1alpha1", OURS, None),
        ("v2", OURS, "stores version v2, not v1alpha1"),
        ("v1alpha1", {}, "belongs to another installation"),
        ("v1alpha1", None, "adoptCrds"),
    ],
)
def test_problem(stored, labels, text):
    """Version and owner; the way out is named."""
    problem = crd_problem(crd(stored, labels), WATCH)
    assert problem is None if text is None else text in (problem or "")
