"""A world for tests of the release engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_operator.kube import Api
from lab.apiserver import ApiCluster
from releases_lab import World


@pytest.fixture
async def world(api: Api, api_cluster: ApiCluster, tmp_path: Path, helm_binary: Path) -> World:
    """Kinds, a namespace and a counted helm of this test alone; the kind Web is there."""
    made = World(api, api_cluster.kubeconfig, tmp_path, helm_binary)
    await made.prepare("Web")
    return made
