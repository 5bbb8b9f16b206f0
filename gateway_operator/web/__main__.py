"""Prints the OpenAPI document as docs/openapi.json has it: `python -m gateway_operator.web > docs/openapi.json`."""

from __future__ import annotations

import json
import sys

from gateway_operator.web.app import bare_app


def document() -> str:
    """Return the OpenAPI document as text."""
    return json.dumps(bare_app().openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
