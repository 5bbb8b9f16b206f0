"""Brings Prometheus' series into the shape that KubeSphere's clients read, in an order that stays. Pure.

NaN says that a question has no answer (a share of no requests), so such values are left out: a plot has a gap there,
and nobody takes it for 0 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway_operator.observe.metrics.query import Ranking

Row = Mapping[str, Any]
Key = tuple[tuple[str, str], ...]
_NAMESPACE_LABELS = ("exported_namespace", "namespace")


@dataclass(frozen=True)
class Answer:
    """What one metric gave: rows, or why there are none."""

    metric: str
    rows: tuple[Row, ...] = ()
    error: str = ""
    empty: str = ""
    ranked: bool = False  # rows are of Ingresses, which can be sorted and paged


@dataclass(frozen=True)
class Page:
    """All answers, and where one is in their rows."""

    answers: tuple[Answer, ...]
    window: int
    page: int | None = None
    total_page: int | None = None
    total_item: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def rows_of(series: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> tuple[Row, ...]:
    """Return series with known values only, sorted by their labels; only `labels` leave the house."""
    found = []
    for one in series:
        metric = _named(one.get("metric") or {}, labels)
        if "value" in one and _is_number(one["value"]):
            found.append({"metric": metric, "value": one["value"]})
        elif values := [value for value in one.get("values") or () if _is_number(value)]:
            found.append({"metric": metric, "values": values, **_extremes(values)})
    return tuple(sorted(found, key=lambda row: sorted(row["metric"].items())))


def _named(found: Mapping[str, str], labels: Sequence[str]) -> dict[str, str]:
    namespace = next((found[label] for label in _NAMESPACE_LABELS if label in found), "")
    values = {**found, "namespace": namespace}
    return {label: values[label] for label in labels if values.get(label)}


def _is_number(sample: Sequence[Any]) -> bool:
    return not math.isnan(float(sample[1]))


def _extremes(values: Sequence[Sequence[Any]]) -> dict[str, str]:
    numbers = [float(value[1]) for value in values]
    mean = math.fsum(numbers) / len(numbers)
    return {"min_value": f"{min(numbers):.12g}", "max_value": f"{max(numbers):.12g}", "avg_value": f"{mean:.12g}"}


def as_page(answers: Sequence[Answer], ranking: Ranking | None, window: int) -> Page:
    """Sort and page the rows of Ingresses by one metric's values; the rest is left as it is."""
    if ranking is None:
        return Page(tuple(answers), window)
    order = _order(answers, ranking)
    first = (ranking.page - 1) * ranking.limit
    wanted = order[first : first + ranking.limit]
    pages = -(-len(order) // ranking.limit)
    kept = tuple(_paged(answer, wanted) if answer.ranked else answer for answer in answers)
    return Page(kept, window, ranking.page, pages, len(order))


def _order(answers: Sequence[Answer], ranking: Ranking) -> list[Key]:
    """Return all rows' keys: first those with a value, by it; of equal ones, and of the rest, the smaller name."""
    every = {_key(row) for answer in answers if answer.ranked for row in answer.rows}
    values = {
        _key(row): float(row["value"][1])
        for answer in answers
        if answer.ranked and answer.metric == ranking.metric
        for row in answer.rows
    }
    sign = 1 if ranking.order == "asc" else -1
    return sorted(every, key=lambda key: (key not in values, sign * values.get(key, 0.0), key))


def _paged(answer: Answer, wanted: Iterable[Key]) -> Answer:
    rows = {_key(row): row for row in answer.rows}
    kept = tuple(rows[key] for key in wanted if key in rows)
    return Answer(answer.metric, kept, answer.error, answer.empty, answer.ranked)


def _key(row: Row) -> Key:
    return tuple(sorted(row["metric"].items()))


def as_json(page: Page, *, is_range: bool) -> dict[str, Any]:
    """Return KubeSphere's shape, with `window` and, where there is nothing, why."""
    found: dict[str, Any] = {"results": [_result(answer, is_range=is_range) for answer in page.answers]}
    if page.page is not None:
        found |= {"page": page.page, "total_page": page.total_page, "total_item": page.total_item}
    return found | {"window": page.window, **page.extra}


def _result(answer: Answer, *, is_range: bool) -> dict[str, Any]:
    kind = "matrix" if is_range else "vector"
    found: dict[str, Any] = {
        "metric_name": answer.metric,
        "data": {"resultType": kind, "result": list(answer.rows)},
    }
    if answer.error:
        found["error"] = answer.error
    if answer.empty:
        found["empty"] = answer.empty
    return found
