"""One cluster whose pods run, with the operator installed from its chart, for all e2e tests of a test process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cluster import Lab
from lab.demo.story import install_operator, lab_target
from lab.demo.target import Target
from tests.e2e import objects as o
from tests.e2e.earlier import Earlier, earlier

KEEP = os.environ.get("GATEWAY_E2E_KEEP")  # name of a lab to use and to leave running, for work on one test
LAB = KEEP or f"e2e{os.environ.get('PYTEST_XDIST_WORKER', '')}"  # one lab a test process


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the full lab."""
    for item in items:
        if "tests/e2e/" in item.nodeid:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    """The cluster, with the operator running. It ends with the run."""
    if not KEEP and (old := Lab.find(LAB)):
        old.down()
    try:
        found = lab_target(LAB)
        install_operator(found)
        yield found
    finally:
        if not KEEP and (lab := Lab.find(LAB)):
            lab.down()


@pytest.fixture
def clean(target: Target) -> Iterator[Target]:
    """The cluster without gateways; what the test leaves is removed."""
    yield target
    o.remove_all(target)


@pytest.fixture
def before(target: Target, tmp_path: Path) -> Earlier:
    """An earlier operator, whose image the cluster has."""
    found = earlier(tmp_path)
    lab = Lab.find(LAB)
    assert lab
    lab["centre"].ensure(found.image)
    return found
