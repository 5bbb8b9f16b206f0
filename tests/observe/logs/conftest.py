"""A real Elasticsearch with indices of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from gateway_operator.observe.logs import Logs
from lab.servers.elasticsearch import EIGHT, NINE, Elasticsearch
from tests.observe.logs.corpus import ALL, Corpus, indices, numbered, pod_of


@pytest.fixture(scope="session", params=[EIGHT, pytest.param(NINE, marks=pytest.mark.long)])
def elasticsearch(request: pytest.FixtureRequest) -> Iterator[Elasticsearch]:
    """A real Elasticsearch of each version that we serve."""
    with Elasticsearch.shared(request.param) as server:
        yield server


@pytest.fixture
def corpus(elasticsearch: Elasticsearch) -> Iterator[Corpus]:
    """Indices of this test alone, empty."""
    with indices(elasticsearch) as corpus:
        corpus.create()
        yield corpus


@pytest.fixture
async def logs(corpus: Corpus) -> AsyncIterator[Logs]:
    """Our logs over the test's indices; it knows the projects shop, tea and blog."""

    async def projects() -> frozenset[str]:
        return frozenset({"shop", "tea", "blog"})

    logs = Logs(corpus.settings(), projects)
    yield logs
    await logs.close()


@pytest.fixture(scope="package")
def hundred(elasticsearch: Elasticsearch) -> Iterator[Corpus]:
    """A hundred thousand lines of the cluster gateway, a millisecond apart; read only, and not to be searched."""
    with indices(elasticsearch) as corpus:
        corpus.create(log={"type": "text", "index": False})
        corpus.add(numbered(pod_of(ALL.workloads[0]), 100_000))
        yield corpus
