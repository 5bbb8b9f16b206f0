"""What the demo holds against each other: the API's counts and the load generator's."""

from __future__ import annotations

import math

import pytest

from lab.demo.asked import check
from lab.demo.report import Asked, Pair
from lab.demo.tally import Tally
from lab.errors import LabError


def test_tally_counts_what_a_gateway_answered() -> None:
    """Requests without an answer are counted apart; those before a route was there aren't the route's."""
    tally = Tally()
    tally.add("a", "shop.example.com", "/demo", [(0, 1.0), (404, 0.1), (200, 0.2), (503, 0.3)])
    tally.add("a", "cafe.example.com", "/tea", [(200, 0.01)] * 17)
    tally.add("b", "shop.example.com", "/demo", [(200, 0.1)])
    whole, shop = tally.part("a"), tally.part("a", host="shop.example.com")
    assert (whole.requests, shop.requests, tally.part("a", path="/tea").requests) == (20, 2, 17)
    assert (whole.unanswered, shop.unanswered) == (1, 1)
    assert (whole.success_rate, shop.success_rate) == (0.95, 0.5)
    assert (whole.latency(), shop.latency(0.5)) == (0.2, 0.2)
    assert math.isnan(tally.part("c").success_rate)
    assert math.isnan(tally.part("c").latency())


def seen(requests: float = 100, lines: float = 100, rate: float = 1.0) -> Asked:
    """What the API says of a hundred requests that were all answered."""
    latency = Pair(math.nan, 0.1)
    return Asked("a gateway", Pair(requests, 100), Pair(rate, 1.0), latency, Pair(lines, 100))


def test_counts_within_two_percent_are_the_same() -> None:
    """A latency is shown only: a client measures its own time, too."""
    check([seen(), seen(requests=98), seen(lines=102), seen(rate=0.99)])


def test_requests_without_an_answer_may_be_known_to_the_api() -> None:
    """A client that gave up doesn't know whether the gateway had its request."""
    told = seen(requests=140)
    told.unanswered = 40
    check([told])
    told.unanswered = 30
    with pytest.raises(LabError, match="140"):
        check([told])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (seen(requests=97), "requests: the API says 97, the load generator counted 100"),
        (seen(lines=103), "log lines: the API says 103"),
        (seen(rate=0.9), "success rate: the API says 0.9"),
        (seen(rate=math.nan), "success rate: the API says nan"),
    ],
)
def test_counts_that_differ_end_the_demo(wrong: Asked, told: str) -> None:
    """More than 2 % apart, or no answer at all, is an error that names both sides."""
    with pytest.raises(LabError, match=told):
        check([seen(), wrong])
