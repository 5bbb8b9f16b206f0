"""One cluster whose pods run, with the operator installed from its chart, for all e2e tests of a run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from lab.cluster import Lab
from lab.demo.story import install_operator, lab_target
from lab.demo.target import Target

KEEP = os.environ.get("GATEWAY_E2E_KEEP")  # name of a lab to use and to leave running, for work on one test
LAB = KEEP or "e2e"


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
    with contextlib.suppress(Exception):
        target.kubectl("delete", "mgw,ngx", "--all", "-A", "--timeout=120s")
    target.kubectl("delete", "namespace", "-l", "e2e=project", "--wait=true", "--timeout=120s")
