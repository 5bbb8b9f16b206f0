"""The one place where queries for logs are built: none can be built without the tenant's own filter. Pure.

A tenant's filter is namespace, pods and time; pods are known by the name of their workload, so lines stay visible
after a rollout, and a gateway without pods finds its old lines, never everybody's. What users type is only ever data
of phrases, terms, ranges and escaped wildcards; there is no query string.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway_operator.observe.logs.query import AccessFilter, LogQuery
from gateway_operator.observe.tenant import Tenant
from gateway_operator.settings_api import ElasticsearchSettings

Json = dict[str, Any]
# What Kubernetes appends to a workload's name: a Deployment's pods get a hash of the template, all get five characters;
# neither has vowels.
_OF_WORKLOAD = "-([b-df-hj-np-tv-z2-9]{1,10}-)?[b-df-hj-np-tv-z2-9]{5}"
_MILLISECONDS = 1000


@dataclass(frozen=True)
class Asked:
    """A question as Elasticsearch gets it.

    `filters` select the lines, but for those that `never` matches; what they can't say is left to `parse`: whether
    lines must be read to decide, for the `access` filter that remains and, with `shared`, for whose they are.
    """

    filters: tuple[Json, ...]
    never: tuple[Json, ...]
    access: AccessFilter
    shared: bool

    @property
    def parse(self) -> bool:
        """Whether each line found must still be read."""
        return self.shared or bool(self.access)

    @property
    def query(self) -> Json:
        """The query part of a search's body."""
        return {"bool": {"filter": list(self.filters)} | ({"must_not": list(self.never)} if self.never else {})}


def asked(tenant: Tenant, query: LogQuery, settings: ElasticsearchSettings) -> Asked:
    """Build the question: the tenant's own filter first, then what the user asks for."""
    filters = [*_tenants(tenant, settings), *_users(query, settings)]
    rest = query.access
    if "namespace" in settings.parsed_fields and not tenant.own:
        filters.append({"term": {settings.parsed_fields["namespace"]: tenant.namespace}})
    if rest and _covered(rest, settings.parsed_fields):
        filters.extend(_parsed(rest, settings.parsed_fields))
        rest = AccessFilter()
    if settings.standard_analysis:
        filters.extend(_narrowing(rest, settings.fields.log))
        if not tenant.own:
            filters.append({"match_phrase": {settings.fields.log: tenant.namespace}})
    return Asked(
        tuple(filters),
        tuple(_strangers(tenant, settings)),
        rest,
        shared=not tenant.own and "namespace" not in settings.parsed_fields,
    )


def _tenants(tenant: Tenant, settings: ElasticsearchSettings) -> Iterator[Json]:
    """Hold the tenant in: where its gateway runs, its pods of all times, nothing older than the project."""
    fields = settings.fields
    yield {"term": {fields.namespace: tenant.working_namespace}}
    yield any_of({"regexp": {fields.pod: {"value": name + _OF_WORKLOAD}}} for name in tenant.workloads)
    if tenant.since is not None:
        yield _time(fields.time, "gte", tenant.since.timestamp())


def _strangers(tenant: Tenant, settings: ElasticsearchSettings) -> Iterator[Json]:
    """Leave out pods of gateways with a longer name: `NAME-bcd-x2x9z` may be of `NAME` or of a DaemonSet `NAME-bcd`."""
    for name in tenant.strangers:
        if name.startswith(tuple(f"{own}-" for own in tenant.workloads)):
            yield {"prefix": {settings.fields.pod: {"value": f"{name}-"}}}


def _users(query: LogQuery, settings: ElasticsearchSettings) -> Iterator[Json]:
    """What the user asks for, as data."""
    fields = settings.fields
    if query.words:
        yield any_of({"match_phrase_prefix": {fields.log: word}} for word in query.words)
    if query.pods:
        yield any_of(_contains(fields.pod, text) for text in query.pods)
    if query.containers:
        yield {"terms": {fields.container: list(query.containers)}}
    if query.container_texts:
        yield any_of(_contains(fields.container, text) for text in query.container_texts)
    if query.start is not None:
        yield _time(fields.time, "gte", query.start)
    if query.end is not None:
        yield _time(fields.time, "lte", query.end)


def _narrowing(access: AccessFilter, log: str) -> Iterator[Json]:
    """Words that a line must have if the access filter is to take it; reading decides in the end."""
    if access.statuses:
        found = sorted({status for low, high in access.statuses for status in range(low, high + 1)})
        yield {"terms": {log: [str(status) for status in found]}}
    if access.methods:
        yield {"terms": {log: [method.lower() for method in access.methods]}}


def _covered(access: AccessFilter, parsed: dict[str, str]) -> bool:
    used = {
        "status": access.statuses,
        "method": access.methods,
        "host": access.hosts,
        "path": access.path,
        "latency": access.latency_min is not None or access.latency_max is not None,
        "upstream": access.upstream,
        "cluster": access.clusters,
    }
    return all(name in parsed for name, value in used.items() if value)


def _parsed(access: AccessFilter, parsed: dict[str, str]) -> Iterator[Json]:
    """Build the access filter on fields that a pipeline has parsed."""
    if access.statuses:
        yield any_of(_range(parsed["status"], gte=low, lte=high) for low, high in access.statuses)
    if access.methods:
        yield {"terms": {parsed["method"]: list(access.methods)}}
    if access.hosts:
        yield any_of(_host(parsed["host"], host) for host in access.hosts)
    if access.path:
        yield {"prefix": {parsed["path"]: {"value": access.path}}}
    if access.latency_min is not None:
        yield _range(parsed["latency"], gte=access.latency_min)
    if access.latency_max is not None:
        yield _range(parsed["latency"], lte=access.latency_max)
    if access.upstream:
        yield _contains(parsed["upstream"], access.upstream)
    if access.clusters:
        yield {"terms": {parsed["cluster"]: list(access.clusters)}}


def _host(name: str, host: str) -> Json:
    if host.startswith("*."):
        return {"wildcard": {name: {"value": f"*{escaped(host[1:])}"}}}
    return {"term": {name: host}}


def any_of(clauses: Iterable[Json]) -> Json:
    """Return a query that one of the clauses must match; without clauses it matches nothing."""
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def escaped(text: str) -> str:
    """Return a text that a wildcard query takes literally."""
    return "".join(f"\\{char}" if char in "*?\\" else char for char in text)


def _contains(name: str, text: str) -> Json:
    return {"wildcard": {name: {"value": f"*{escaped(text)}*", "case_insensitive": True}}}


def _range(name: str, **bounds: float) -> Json:
    return {"range": {name: bounds}}


def _time(name: str, bound: str, seconds: float) -> Json:
    return {"range": {name: {bound: int(seconds * _MILLISECONDS), "format": "epoch_millis"}}}
