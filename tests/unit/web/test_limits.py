"""Buckets and streams of one client."""

from __future__ import annotations

import pytest

from gateway_operator.settings_api import LimitSettings
from gateway_operator.web.limits import Limits
from gateway_operator.web.problems import Problem

SETTINGS = LimitSettings.model_validate({"requestsPerSecond": 2, "burst": 3, "streamsPerSubject": 1})


def test_a_bucket_empties_and_fills():
    """A burst is allowed, then the long-run pace; one client's bucket is nobody else's."""
    now = [0.0]
    limits = Limits(SETTINGS, lambda: now[0])
    for _ in range(3):
        limits.take("a")
    with pytest.raises(Problem) as caught:
        limits.take("a")
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})
    limits.take("b")
    now[0] = 0.5
    limits.take("a")
    with pytest.raises(Problem):
        limits.take("a")


def test_streams_are_counted_while_they_are_open():
    """A second stream is refused while the first is open, and allowed after."""
    limits = Limits(SETTINGS)
    with limits.stream("a"), pytest.raises(Problem, match="1 streams"), limits.stream("a"):
        pass
    with limits.stream("a"):
        pass
    assert not limits._streams
