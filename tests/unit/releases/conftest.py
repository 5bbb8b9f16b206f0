"""Small charts and watches files, made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A minimal chart directory."""
    root = tmp_path / "chart"
    (root / "templates").mkdir(parents=True)
    (root / "Chart.yaml").write_text('apiVersion: v2\nname: demo\nversion: "1.0.0"\n')
    (root / "values.yaml").write_text("replicas: 1\n")
    (root / "templates" / "cm.yaml").write_text("kind: ConfigMap\n")
    return root
