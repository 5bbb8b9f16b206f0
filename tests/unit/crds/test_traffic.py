"""The pages of ClusterTrafficPolicy and MemberCluster name everything that there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway_operator.clusters.policies import read
from gateway_operator.crds.base import Kind
from gateway_operator.crds.member import MemberCluster
from gateway_operator.crds.policy import ClusterTrafficPolicy
from gateway_operator.crds.schema import crd_manifest, structural_schema
from gateway_operator.crds.traffic import TrafficCondition, TrafficReason
from gateway_operator.traffic.shares import State

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES: dict[type[Kind], str] = {
    ClusterTrafficPolicy: (DOCS / "spec" / "policy.md").read_text(encoding="utf-8"),
    MemberCluster: (DOCS / "spec" / "member.md").read_text(encoding="utf-8"),
}


def fields(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the names of all fields below a schema."""
    inner = schema.get("items", schema)
    for name, child in inner.get("properties", {}).items():
        yield name
        yield from fields(child)


@pytest.mark.parametrize("kind", PAGES)
def test_every_field_is_on_the_page(kind):
    """Of spec and status."""
    schema = structural_schema(kind)["properties"]
    for name in {*fields(schema["spec"]), *fields(schema["status"])}:
        assert name in PAGES[kind], name


def test_every_condition_and_reason_is_on_a_page():
    """What a status can say is explained."""
    both = "".join(PAGES.values())
    for word in (*TrafficCondition, *TrafficReason, *State):
        assert f"`{word}`" in both, word


@pytest.mark.parametrize("kind", PAGES)
def test_the_first_example_is_of_the_kind(kind):
    """It can be copied."""
    example = yaml.safe_load(PAGES[kind].split("```yaml\n")[1].split("```")[0])
    assert example["kind"] == kind.crd.kind
    assert example["apiVersion"] == "k8s.nginx.org/v1"


def test_the_policy_of_the_example_is_sound():
    """Nothing is wrong with it, and it uses what the page explains."""
    example = yaml.safe_load(PAGES[ClusterTrafficPolicy].split("```yaml\n")[1].split("```")[0])
    assert read(example).problems == ()


def test_scopes_and_short_names():
    """Members belong to nobody's namespace."""
    found = {kind: crd_manifest(kind)["spec"] for kind in PAGES}
    assert (found[MemberCluster]["scope"], found[MemberCluster]["names"]["shortNames"]) == ("Cluster", ["mcl"])
    assert (found[ClusterTrafficPolicy]["scope"], found[ClusterTrafficPolicy]["names"]["shortNames"]) == (
        "Namespaced",
        ["ctp"],
    )
