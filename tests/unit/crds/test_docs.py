"""The pages for users name everything that there is."""

from __future__ import annotations

from pathlib import Path

import yaml

from gateway_operator.crds.conditions import Condition, Reason
from gateway_operator.crds.config_keys import KEYS, SNIPPET_KEYS
from gateway_operator.crds.gateway import Gateway
from gateway_operator.crds.schema import structural_schema

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "spec" / "gateway.md").read_text(encoding="utf-8")


def test_every_config_key_is_on_the_page():
    """Honoured ones in the table, the others in the list below it."""
    for key in KEYS.values():
        assert f"| `{key.name}` |" in PAGE if key.honoured else f"`{key.name}`" in PAGE, key.name
    assert all(f"`{key}`" in PAGE for key in SNIPPET_KEYS)


def test_every_field_reason_and_condition_is_on_the_page():
    """What a status can say is explained."""
    status = structural_schema(Gateway)["properties"]["status"]["properties"]
    assert all(f"`{field}`" in PAGE for field in status)
    assert all(f"`{condition}`" in PAGE for condition in Condition)
    explained = [reason for name, reason in Reason.__members__.items() if name.isupper()]
    elsewhere = {Reason.ACCEPTED, Reason.SPEC_INVALID, Reason.ADDRESS_KNOWN, Reason.NO_SERVICE, Reason.NOT_DEPLOYED}
    assert all(f"`{reason}`" in PAGE for reason in explained if reason not in elsewhere)


def test_the_fields_of_the_spec_are_on_the_page():
    """Each leaf of the spec has its row."""
    spec = structural_schema(Gateway)["properties"]["spec"]["properties"]
    for section, schema in spec.items():
        for field in schema.get("properties", {}):
            assert field in PAGE, f"{section}.{field}"


def test_the_example_is_valid_yaml():
    """The first example can be copied."""
    example = PAGE.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(example)["kind"] == "Gateway"
