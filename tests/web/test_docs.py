"""The documents about the API say what the API does."""

from __future__ import annotations

import json
from pathlib import Path

from gateway_operator.web.__main__ import document
from gateway_operator.web.actions import RIGHTS
from gateway_operator.web.app import api_routes
from gateway_operator.web.docs import action_of

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_openapi_json_is_current():
    """docs/openapi.json is what `python -m gateway_operator.web` prints."""
    text = document()
    assert text == (DOCS / "openapi.json").read_text(), "run: python -m gateway_operator.web > docs/openapi.json"
    assert json.loads(text)["openapi"].startswith("3.1")


def test_every_route_and_right_is_in_the_table():
    """docs/spec/api.md has one row for each route, with the right that it takes."""
    rows = [line for line in (DOCS / "spec" / "api.md").read_text().splitlines() if line.startswith("| ")]
    for route in api_routes():
        action = action_of(route)
        right = RIGHTS[action] if action else None
        for method in route.methods:
            (row,) = [line for line in rows if line.startswith(f"| {method} `{route.path}` |")]
            if right is None:
                assert "| none |" in row
            elif right.scope != "path":
                resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
                assert f"| {right.verb} {resource}" in row, row
