"""Parameters as they come, and what is made of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway_operator.observe.errors import BadQuery
from gateway_operator.observe.metrics.answers import Answer, as_json, as_page, rows_of
from gateway_operator.observe.metrics.catalog import CATALOG, STANDARD, chosen
from gateway_operator.observe.metrics.ground import window_of
from gateway_operator.observe.metrics.query import Asked, Ranking, Times, read
from gateway_operator.observe.metrics.service import plan_of
from gateway_operator.observe.prometheus import Instant, Span

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1d", 86400), ("1w", 604800), ("1y", 31536000)],
)
def test_durations(text: str, expected: int) -> None:
    """Seconds, and all units that Prometheus has but milliseconds."""
    assert read(Asked(duration=text), NOW).duration == expected


@pytest.mark.parametrize(
    "params",
    [
        {"duration": "0"}, {"duration": "5x"}, {"duration": "1d "}, {"duration": "-5m"}, {"duration": "9y"},
        {"duration": "٣m"}, {"duration": "9" * 400}, {"time": "nan"}, {"time": "inf"}, {"time": "-1"},
        {"time": "yesterday"}, {"time": "1e400"}, {"time": "1800000000000"}, {"end": "5"}, {"start": "x"},
        {"start": "5", "end": "4"}, {"time": "5", "start": "4"}, {"step": "10m"},
        {"start": "0", "end": "100000", "step": "1s"}, {"start": "1", "step": "0"}, {"pod": 'x"} or y{'},
        {"pod": ".*"}, {"job": "a|b"}, {"resources_filter": "("}, {"metrics_filter": "(?=a)"}, {"page": "0"},
        {"limit": "-1"}, {"limit": "1000000"}, {"page": "1.5"}, {"sort_type": "up"}, {"pod": "a" * 300},
    ],
)  # fmt: skip
def test_wrong_parameters_are_named(params: dict[str, str]) -> None:
    """Each wrong parameter is refused by its own name, or by that of the one it lacks."""
    with pytest.raises(BadQuery) as caught:
        read(Asked(**params), NOW)
    assert caught.value.field in {*params, "start", "end", "step"}


def test_an_ingress_must_be_a_name() -> None:
    """The path's last part is a name, never an expression."""
    with pytest.raises(BadQuery, match="^ingress: "):
        read(Asked(), NOW, ingress='web"} or a{b="')
    assert read(Asked(), NOW, ingress="web").ingress == "web"


def test_times() -> None:
    """No time is now; a range has a step of ten minutes and ends now unless said otherwise."""
    assert read(Asked(), NOW).times == Times(at=NOW)
    assert read(Asked(time="1700000000.5"), NOW).times == Times(at=1700000000.5)
    assert read(Asked(start="1799990000"), NOW).times == Times(start=1799990000.0, end=NOW, step=600)


@pytest.mark.parametrize(
    ("params", "window"),
    [
        ({}, 300), ({"duration": "10m"}, 600), ({"duration": "30s"}, 120), ({"start": "1799990000"}, 600),
        ({"start": "1799990000", "step": "1m"}, 120), ({"start": "1799990000", "duration": "5m"}, 600),
        ({"start": "1799990000", "duration": "1h"}, 3600),
    ],
)  # fmt: skip
def test_window_is_no_shorter_than_a_step_nor_than_four_scrapes(params: dict[str, str], window: int) -> None:
    """A window skips no data between steps, and has enough of it."""
    assert window_of(read(Asked(**params), NOW), 30) == window


def test_the_fifteen() -> None:
    """Without a filter there are KubeSphere's fifteen; its names as filters find nothing of ours."""
    assert len(STANDARD) == 15
    assert chosen("") == STANDARD
    for metric in STANDARD:
        assert all(found.standard for found in chosen(metric.name))
    assert set(chosen("ingress_request_count|ingress_request_4xx_count$")) == {
        CATALOG["ingress_request_count"],
        CATALOG["ingress_request_4xx_count"],
    }
    assert all(metric.description and metric.unit for metric in CATALOG.values())


def moment(seconds: float) -> datetime:
    """That time as a date."""
    return datetime.fromtimestamp(seconds, UTC)


def test_nothing_from_before_creation() -> None:
    """A project that has the name of an older one doesn't see its past: windows are cut, ranges begin later."""
    assert plan_of(Times(at=NOW), 300, moment(NOW - 100.5)).window == 100
    assert plan_of(Times(at=NOW), 300, moment(NOW + 1)).when is None
    assert plan_of(Times(at=NOW), 300, None) == plan_of(Times(at=NOW), 300, moment(NOW - 300))
    asked = Times(start=NOW - 6000, end=NOW, step=600)
    assert plan_of(asked, 600, moment(NOW - 3100)).when == Span(int(NOW) - 2400, int(NOW), 600)
    assert plan_of(asked, 600, moment(NOW - 60000)).when == Span(int(NOW) - 6000, int(NOW), 600)
    assert plan_of(asked, 600, moment(NOW - 500)).when is None
    assert plan_of(Times(at=NOW), 300, None).when == Instant(NOW)


def row(namespace: str, ingress: str, value: str) -> dict[str, Any]:
    """One series of an Ingress as Prometheus gives it."""
    return {"metric": {"exported_namespace": namespace, "ingress": ingress, "job": "j"}, "value": [NOW, value]}


def test_rows_are_sorted_and_lean() -> None:
    """Rows come in the order of their labels, without labels that nobody asked for and without NaN."""
    series = [row("b", "x", "1"), row("a", "y", "NaN"), row("a", "x", "2")]
    assert rows_of(series, ("namespace", "ingress")) == (
        {"metric": {"namespace": "a", "ingress": "x"}, "value": [NOW, "2"]},
        {"metric": {"namespace": "b", "ingress": "x"}, "value": [NOW, "1"]},
    )
    (over_time,) = rows_of([{"metric": {}, "values": [[1, "NaN"], [2, "4"], [3, "2"]]}], ())
    assert over_time == {
        "metric": {}, "values": [[2, "4"], [3, "2"]], "min_value": "2", "max_value": "4", "avg_value": "3",
    }  # fmt: skip
    assert rows_of([{"metric": {}, "values": [[1, "NaN"]]}], ()) == ()


def test_pages() -> None:
    """Ingresses are sorted by one metric's value, equal ones by name, those without one last; others stay whole."""
    labels = ("namespace", "ingress")
    series = [row("a", name, value) for name, value in (("u", "1"), ("v", "3"), ("w", "1"))] + [row("b", "u", "9")]
    ranked = Answer("ingress_count_by_ingress", rows_of(series[:3], labels), ranked=True)
    other = Answer("ingress_request_volume_by_ingress", rows_of(series, labels), ranked=True)
    single = Answer("ingress_request_count", ({"metric": {}, "value": [NOW, "5"]},))

    def names(page: int, order: Any = "desc") -> list[str]:
        found = as_page([ranked, other, single], Ranking(ranked.metric, order, page, 2), 300)
        assert (found.total_page, found.total_item, found.page) == (2, 4, page)
        assert found.answers[2] == single
        return [f"{r['metric']['namespace']}/{r['metric']['ingress']}" for r in found.answers[1].rows]

    assert names(1) == ["a/v", "a/u"]
    assert names(2) == ["a/w", "b/u"]
    assert names(3) == []
    assert names(1, "asc") == ["a/u", "a/w"]
    assert as_json(as_page([single], None, 300), is_range=False) == {
        "results": [
            {"metric_name": "ingress_request_count", "data": {"resultType": "vector", "result": list(single.rows)}}
        ],
        "window": 300,
    }
