"""The arithmetic behind the metrics: what counters grew by, and what follows from it.

`increase()` leaves out what a series had counted before its first sample, and stretches what it saw to the edges of
the window: a gateway's first requests are missing and the rest is guessed. `growth` takes the last value and subtracts
the one from before the window, so a series that wasn't there yet counts from zero. Only where a counter is seen to have
started anew within the window is `increase()` asked, which knows how to go over that. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway_operator.observe.metrics.promql import (
    Aggregation,
    Binary,
    Expression,
    Number,
    Resampled,
    Selector,
    call,
    total,
)

LOOKBACK = 3600  # s; a series without a sample for so long before the window counts as new
SCRAPES = 2  # within so many before the window a series has a sample, if its pod was scraped and still counted it
POD = ("controller_pod", "instance")
POINTS = 60  # of a gauge that is averaged over a window


@dataclass(frozen=True)
class Period:
    """The window that is looked at, and how often values come, both in seconds."""

    window: int
    scrape: int


def growth(counter: Selector, over: Period, beside: Selector | None = None) -> Expression:
    """Return by how much each series of a counter grew in the window.

    `increase()` over one scrape more sees the value from before the window too, and stretches just by that scrape.
    `beside` selects series that show that a pod was scraped, of which the counter's are a part.
    """
    window, longer = over.window, over.window + over.scrape
    last = call("last_over_time", counter.over(window))
    before = _before(counter, over, beside or counter)
    seen = Binary(call("increase", counter.over(longer)), "*", Number(window / longer))
    over_resets = Binary(seen, "and", Binary(call("resets", counter.over(longer)), ">", Number(0)))
    known = Binary(Binary(last, "-", before), ">=", Number(0))
    return Binary(Binary(over_resets, "or", known), "or", last)


def _before(counter: Selector, over: Period, beside: Selector) -> Expression:
    """Return the value of each series when the window began.

    A series may lack there because nothing was scraped: then its last value holds. Where the pod was scraped, an nginx
    that began anew has forgotten the series, and what it had counted earlier must not be subtracted.
    """
    recent = SCRAPES * over.scrape
    known = call("last_over_time", counter.over(recent, offset=over.window))
    scraped = call("last_over_time", beside.over(recent, offset=over.window))
    earlier = call("last_over_time", counter.over(LOOKBACK, offset=over.window))
    return Binary(known, "or", Binary(earlier, "unless", scraped, on=POD))


def grown(counter: Selector, over: Period, by: Sequence[str] = (), *, beside: Selector | None = None) -> Expression:
    """Return growth of all series together."""
    return total(growth(counter, over, beside), by)


def count(counter: Selector, over: Period, by: Sequence[str] = ()) -> Expression:
    """Return how often something happened; nothing where no series is known."""
    return call("round", grown(counter, over, by))


def count_of(part: Selector, whole: Selector, over: Period) -> Expression:
    """Return a part's count: 0, not nothing, where the whole is known and the part never happened."""
    return call("round", _part(part, whole, over))


def share(part: Selector, whole: Selector, over: Period) -> Expression:
    """Return the part's share of the whole, from 0 to 1; NaN where nothing happened."""
    return Binary(_part(part, whole, over), "/", grown(whole, over))


def rest(part: Selector, whole: Selector, over: Period, by: Sequence[str] = ()) -> Expression:
    """Return 1 less the part's share; NaN where nothing happened."""
    return Binary(Number(1), "-", Binary(_part(part, whole, over, by), "/", grown(whole, over, by)))


def _part(part: Selector, whole: Selector, over: Period, by: Sequence[str] = ()) -> Expression:
    known = Binary(total(call("last_over_time", whole.over(over.window)), by), "*", Number(0))
    return Binary(grown(part, over, by, beside=whole), "or", known)


def pace(counter: Selector, over: Period, by: Sequence[str] = ()) -> Expression:
    """Return growth a second."""
    return Binary(grown(counter, over, by), "/", Number(over.window))


def mean(sums: Selector, counts: Selector, over: Period, by: Sequence[str] = ()) -> Expression:
    """Return the mean of what a histogram saw in the window; NaN where it saw nothing."""
    return Binary(grown(sums, over, by), "/", grown(counts, over, by))


def quantile(below: float, buckets: Selector, over: Period) -> Expression:
    """Return a quantile of what a histogram saw in the window; NaN where it saw nothing."""
    return call("histogram_quantile", Number(below), grown(buckets, over, ("le",)))


def typical_total(gauge: Selector, over: Period) -> Expression:
    """Return the mean over the window of a gauge's total over all pods, those that are gone included.

    A gateway that is younger than the distance of two points has its total of now.
    """
    step = max(over.scrape, over.window // POINTS)
    return Binary(call("avg_over_time", Resampled(total(gauge), over.window, step)), "or", total(gauge))


def rate(counter: Selector, over: Period) -> Expression:
    """Return each series' pace; a start anew within the window is minded."""
    return call("rate", counter.over(over.window))


def over_pods(kind: str, each: Expression) -> Expression:
    """Bring pods together: their `avg` or `max`."""
    return Aggregation(kind, each)
