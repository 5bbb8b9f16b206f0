"""Helm 3 and Helm 4 for the tests of the charts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helm_runner import Helm, Rendered
from lab import tools


def _binary(name: str) -> Path:
    own = shutil.which(os.environ.get("HELM", "")) if name == "helm4" else None
    return Path(own) if own else tools.binary(name)


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4, or what HELM names."""
    return Helm(_binary("helm4"), tmp_path_factory.mktemp("helm4"))


@pytest.fixture(scope="session", params=["helm3", "helm4"])
def each_helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Both versions of Helm that must work."""
    return Helm(_binary(request.param), tmp_path_factory.mktemp(request.param))


@pytest.fixture
def render(helm: Helm) -> Callable[..., Rendered]:
    """Render charts/ingress-nginx with values."""

    def rendered(values: dict[str, Any] | None = None, *flags: str, **more: str) -> Rendered:
        return helm.render("ingress-nginx", values, *flags, **more)

    return rendered
