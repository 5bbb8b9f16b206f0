"""Answers a tenant's questions about a gateway's metrics: asks for all of them at once and says which failed.

One metric that fails doesn't take the others with it; only when all fail is the whole an error.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from gateway_operator.observe.errors import BackendDown, BackendTimeout, BadQuery
from gateway_operator.observe.metrics.answers import Answer, Page, as_page, rows_of
from gateway_operator.observe.metrics.catalog import BY_INGRESS, CATALOG, Metric, chosen
from gateway_operator.observe.metrics.expressions import Period
from gateway_operator.observe.metrics.ground import (
    EXPORTED,
    HONOURED,
    PREFIX,
    Ground,
    NamespaceLabel,
    NotOwn,
    job_of,
    window_of,
)
from gateway_operator.observe.metrics.promql import Aggregation, Matcher, Scope, same
from gateway_operator.observe.metrics.query import MetricsQuery, Times
from gateway_operator.observe.prometheus import Instant, Prometheus, Span
from gateway_operator.observe.tenant import Tenant
from gateway_operator.settings_api import PrometheusSettings

LABEL_KNOWN_FOR = 300.0
Empty = Literal["NotYourGateway", "BeforeCreation", "NotScraped", "TargetDown", "NoRequests", "NotExposed"]


@dataclass(frozen=True)
class Plan:
    """When to ask, after a namespace's creation was minded; without `when` there is nothing to ask for."""

    when: Instant | Span | None
    window: int


class Metrics:
    """What routes ask."""

    def __init__(self, prometheus: Prometheus, settings: PrometheusSettings) -> None:
        self._prometheus = prometheus
        self._scrape = settings.scrape_interval
        self._chosen_label = settings.namespace_label
        self._labels: dict[tuple[str, str], tuple[float, NamespaceLabel]] = {}

    async def ask(self, query: MetricsQuery, tenant: Tenant) -> Page:
        """Return what the metrics say of a tenant's gateway; nothing from before the tenant's creation.

        Raises BadQuery; BackendDown or BackendTimeout when no metric could be had.
        """
        metrics = chosen(query.metrics)
        if query.ranking and query.ranking.metric not in CATALOG:
            raise BadQuery("sort_metric", "isn't in the catalogue")
        plan = plan_of(query.times, window_of(query, self._scrape), tenant.since)
        if plan.when is None:
            return as_page(
                [Answer(m.name, empty="BeforeCreation", ranked=_is_ranked(m, query)) for m in metrics],
                query.ranking,
                plan.window,
            )
        label = await self._label_of(tenant, plan.when)
        ground = Ground(tenant, query, label, Period(plan.window, self._scrape))
        outcomes = await asyncio.gather(
            *(self._one(metric, ground, plan.when) for metric in metrics), return_exceptions=True
        )
        answers = _settled(metrics, outcomes)
        return as_page(await self._explained(answers, ground, plan.when), query.ranking, plan.window)

    async def check(self) -> None:
        """Raise BackendDown or BackendTimeout unless Prometheus answers."""
        await self._prometheus.check()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._prometheus.close()

    async def _one(self, metric: Metric, ground: Ground, when: Instant | Span) -> Answer:
        try:
            text = metric.build(ground).text()
        except NotOwn:
            return Answer(metric.name, empty="NotYourGateway", ranked=_is_ranked(metric, ground.query))
        rows = await self._prometheus.shaped(text, when, lambda series: rows_of(series, metric.labels))
        return Answer(metric.name, rows, ranked=_is_ranked(metric, ground.query))

    async def _label_of(self, tenant: Tenant, when: Instant | Span) -> NamespaceLabel:
        """Find how the scrape calls an Ingress's namespace; wrong guesses give nothing, never somebody else's."""
        if self._chosen_label != "auto":
            return self._chosen_label
        key = (tenant.gateway, tenant.working_namespace)
        known = self._labels.get(key)
        if known and known[0] > time.monotonic():
            return known[1]
        scope = Scope((same("job", job_of(tenant.gateway)), same("controller_namespace", tenant.working_namespace)))
        for label, matcher in ((EXPORTED, Matcher(EXPORTED, "!=", "")), (HONOURED, same(EXPORTED, ""))):
            found = Aggregation("group", scope.select(f"{PREFIX}_requests", matcher, Matcher("ingress", "!=", "")))
            if await self._prometheus.query(found.text(), Instant(_last(when))):
                name: NamespaceLabel = "exported_namespace" if label == EXPORTED else "namespace"
                self._labels[key] = (time.monotonic() + LABEL_KNOWN_FOR, name)
                return name
        return "exported_namespace"

    async def _explained(self, answers: Sequence[Answer], ground: Ground, when: Instant | Span) -> Sequence[Answer]:
        """Say why answers are empty, by asking once how the scrape is."""
        if not any(_wants_reason(answer) for answer in answers):
            return answers
        state = await self._state(ground.tenant, when)
        if state is None:
            return answers
        return [_with_reason(answer, state) if _wants_reason(answer) else answer for answer in answers]

    async def _state(self, tenant: Tenant, when: Instant | Span) -> str | None:
        scope = Scope((same("job", job_of(tenant.gateway)), same("namespace", tenant.working_namespace)))
        try:
            found = await self._prometheus.query(Aggregation("max", scope.select("up")).text(), Instant(_last(when)))
            return ("up" if float(found[0]["value"][1]) else "TargetDown") if found else "NotScraped"
        except (BackendDown, BadQuery, ValueError, KeyError, IndexError, TypeError):
            return None


def plan_of(times: Times, window: int, since: datetime | None) -> Plan:
    """Decide when to ask so that no window reaches back before a project's creation. Pure.

    A moment's window is cut; a range begins at the first step whose window fits.
    """
    created = since.timestamp() if since else None
    if times.at is not None:
        if created is None:
            return Plan(Instant(times.at), window)
        fits = min(window, math.floor(times.at - created))
        return Plan(Instant(times.at) if fits >= 1 else None, max(fits, 1))
    start = times.start
    if created is not None and start < created + window:
        start += math.ceil((created + window - start) / times.step) * times.step
    span = Span(math.ceil(start), math.floor(max(times.end, times.start)), times.step)
    return Plan(span if span.start <= span.end else None, window)


def _is_ranked(metric: Metric, query: MetricsQuery) -> bool:
    """Tell whether a metric's rows are those that are sorted: of Ingresses, unless the chosen metric has others."""
    chosen_labels = CATALOG[query.ranking.metric].labels if query.ranking else ()
    return bool(metric.labels) and metric.labels == (chosen_labels or BY_INGRESS)


def _last(when: Instant | Span) -> float:
    return when.at if isinstance(when, Instant) else float(when.end)


def _settled(metrics: Sequence[Metric], outcomes: Sequence[Answer | BaseException]) -> list[Answer]:
    """Turn failures into what is said beside a metric, unless nothing but failures is left."""
    answers, errors = [], []
    for metric, outcome in zip(metrics, outcomes, strict=True):
        if isinstance(outcome, Answer):
            answers.append(outcome)
        elif isinstance(outcome, BackendDown | BadQuery):
            errors.append(outcome)
            answers.append(Answer(metric.name, error=str(outcome)))
        else:
            raise outcome
    if errors and not any(not answer.error and answer.empty != "NotYourGateway" for answer in answers):
        raise _worst(errors)
    return answers


def _worst(errors: Sequence[Exception]) -> Exception:
    """Choose what to tell: that it is down before that it is slow, and that before what is wrong with the query."""
    for error in errors:
        if isinstance(error, BackendDown) and not isinstance(error, BackendTimeout):
            return error
    return next((error for error in errors if isinstance(error, BackendTimeout)), errors[0])


def _wants_reason(answer: Answer) -> bool:
    return not (answer.rows or answer.error or answer.empty)


def _with_reason(answer: Answer, state: str) -> Answer:
    if state != "up":
        return replace(answer, empty=state)
    return replace(answer, empty="NotExposed" if CATALOG[answer.metric].own_gateway_only else "NoRequests")
