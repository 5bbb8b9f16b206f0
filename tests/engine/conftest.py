"""Options, fixtures and the record of the conformance suite.

`--operator COMMAND` (or SUITE_OPERATOR) runs another operator than ours; `--record` writes the outcomes as JSON.

Marked `long` is what tests/apiserver checks of our engine on the same API server, and more closely: the comment beside
the mark names the file. A record needs all of it, so it's made without `-m`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway_operator.kube import Api
from lab.apiserver import ApiCluster
from tests.engine.profiles import Profile, chosen
from tests.engine.record import Recorder
from tests.engine.scenes import Scene, Stage

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("engine")
    group.addoption("--operator", default=None, help="command of a Helm operator to test instead of ours")
    group.addoption("--record", action="store_true", default=False, help="write tests/engine/results/<operator>.json")


def _profile(config: pytest.Config) -> Profile:
    return chosen(config.getoption("operator", None) or os.environ.get("SUITE_OPERATOR"))


def pytest_configure(config: pytest.Config) -> None:
    """Record outcomes where all of them arrive: in the only process, or in the one that hands out the tests."""
    if config.getoption("record", default=False) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(_profile(config).name, HERE / "results"), "engine-recorder")


@pytest.fixture(scope="session")
def profile(request: pytest.FixtureRequest) -> Profile:
    """The operator under test."""
    return _profile(request.config)


@pytest.fixture(scope="module")
def stage(
    request: pytest.FixtureRequest,
    api_cluster: ApiCluster,
    profile: Profile,
    tmp_path_factory: pytest.TempPathFactory,
    helm_binary: Path,
) -> Iterator[Stage]:
    """The kinds of a module's ROWS and, unless it is empty, an operator that serves them."""
    made = Stage(api_cluster, profile, tmp_path_factory.mktemp("stage"), helm_binary, fork=True)
    rows = getattr(request.module, "ROWS", {})
    made.define("Widget", *rows)
    if rows:
        made.operate(*(made.row(kind, **fields) for kind, fields in rows.items())).start()
    yield made
    made.close()


@pytest.fixture
async def scene(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Scene]:
    """A namespace for this test alone, and an operator that runs."""
    api = await Api.connect(stage.cluster.kubeconfig)
    made = Scene(api, stage)
    await made.create("v1", "Namespace", made.namespace, namespace=None)
    if getattr(request.module, "ROWS", {}) and not stage.operator.alive:
        stage.operator.start()
    yield made
    await api.close()
    for operator in stage.operators:
        print(operator.tail())  # noqa: T201 - pytest shows it beside a failure
