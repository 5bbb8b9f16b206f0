"""The CRDs that are generated from the models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway_operator.crds.__main__ import main
from gateway_operator.crds.gateway import Gateway
from gateway_operator.crds.manifests import ALL_KINDS, all_yaml, crd_yaml
from gateway_operator.crds.schema import crd_manifest, structural_schema

ROOT = Path(__file__).resolve().parents[3]
CRDS = ROOT / "charts" / "gateway-operator" / "files" / "crds"


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk through a schema."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], path + mark)


@pytest.mark.parametrize("model", ALL_KINDS)
def test_schemas_are_structural(model):
    """No reference, no null, no unnamed type is left, and every list has a limit."""
    for path, node in nodes(structural_schema(model)):
        assert not {"$ref", "$defs", "allOf", "title", "const", "examples"} & node.keys(), path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert "anyOf" not in node or node.get("x-kubernetes-int-or-string"), path
        if node.get("type") == "array":
            assert "maxItems" in node, path
            assert "x-kubernetes-list-type" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


@pytest.mark.parametrize("model", ALL_KINDS)
def test_every_field_is_described_down_to_its_default(model):
    """`kubectl explain` has a text for each field, which ends with the default of what may be left out."""
    for path, node in nodes(structural_schema(model)):
        for name, child in node.get("properties", {}).items():
            where = f"{path}.{name}"
            if where == ".metadata":
                continue
            assert child.get("description", "").endswith("."), where
            if name not in node.get("required", ()) and where not in {".apiVersion", ".kind"}:
                assert "Default: " in child["description"].split(". ")[-1] or "Default: " in child["description"], where


def test_unknown_fields_of_a_gateway_are_not_kept():
    """Only the values and the status are open, so that kubectl can name a field that doesn't exist."""
    schema = structural_schema(Gateway)
    free = {p for p, node in nodes(schema) if node.get("x-kubernetes-preserve-unknown-fields")}
    assert free == {".spec.values", ".status", ".status.deployedRelease"}


def test_names_and_columns():
    """Short name, category, and at most six columns by default, Age last, each described."""
    crd = crd_manifest(Gateway)["spec"]
    columns = crd["versions"][0]["additionalPrinterColumns"]
    assert crd["names"]["shortNames"] == ["mgw"]
    assert crd["names"]["categories"] == ["gateway"]
    shown = [column["name"] for column in columns if not column.get("priority")]
    assert shown == ["Scope", "Class", "Replicas", "Address", "Ready", "Age"]
    assert all(column["description"] for column in columns)


def test_the_chart_has_the_crds_of_the_models(tmp_path, capsys):
    """What is committed is what the models say; `python -m gateway_operator.crds FOLDER` writes it anew."""
    for model in ALL_KINDS:
        assert (CRDS / f"{model.crd.plural}.yaml").read_text() == crd_yaml(model)
    main([str(tmp_path)])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in CRDS.iterdir())
    main([])
    assert capsys.readouterr().out == all_yaml()


def test_helm_finds_no_template_in_a_crd():
    """The files may go through Helm as they are."""
    assert "{{" not in all_yaml()
    assert len(list(yaml.safe_load_all(all_yaml()))) == len(ALL_KINDS)
