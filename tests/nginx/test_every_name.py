"""Every annotation and every ConfigMap key that is honoured stands in a test of this folder, which sends requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_operator.crds.config_keys import KEYS
from gateway_operator.ingress.annotation_rows import Support
from gateway_operator.ingress.annotation_table import TABLE

TESTS = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py")))
NAMES = [row.name for row in TABLE if row.support is not Support.UNSUPPORTED]
# status-excluded-namespaces is about the status of Ingresses, which nginx never sees; enable-serial-reloads about ours
OTHER_TESTS = {"status-excluded-namespaces"}


@pytest.mark.parametrize("name", NAMES)
def test_annotations(name: str) -> None:
    """The name is somewhere in a test, as it is written or as a keyword."""
    assert name in TESTS or name.replace("-", "_") in TESTS


@pytest.mark.parametrize("name", [key for key, found in KEYS.items() if found.honoured and key not in OTHER_TESTS])
def test_config_keys(name: str) -> None:
    """The key is somewhere in a test."""
    assert f'"{name}"' in TESTS
