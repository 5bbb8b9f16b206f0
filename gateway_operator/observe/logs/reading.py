"""Lines as they are read: decides which of those found are the tenant's own and pass the access filter. Pure.

Elasticsearch narrows as far as it can; the last word on a shared gateway is here, on the parsed line.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from gateway_operator.observe.logs.access_lines import AccessLine, AccessLines
from gateway_operator.observe.logs.filters import Asked
from gateway_operator.observe.logs.ownership import owned
from gateway_operator.observe.logs.query import AccessFilter
from gateway_operator.observe.tenant import Tenant
from gateway_operator.settings_api import LogFieldSettings

Json = dict[str, Any]
_KEYWORD = ".keyword"
_SHOWN = ("status", "method", "host", "path", "latency", "upstream", "cluster", "namespace", "ingress")


class Line(NamedTuple):
    """One line of a log; `millis` is its time in unix milliseconds, `access` None for what is no access line."""

    log: str
    time: str
    namespace: str
    pod: str
    container: str
    instance: str
    millis: int
    access: AccessLine | None
    marked: str = ""

    def as_json(self) -> Json:
        """Return KubeSphere's record, and what we know more."""
        found: Json = {
            "log": self.log,
            "time": self.time,
            "namespace": self.namespace,
            "pod": self.pod,
            "container": self.container,
        }
        if self.access is not None:
            found["access"] = access_json(self.access)
        if self.marked:
            found["highlight"] = self.marked
        return found


def access_json(line: AccessLine) -> Json:
    """Return what is known of a request, without what its format doesn't print."""
    return {name: value for name in _SHOWN if (value := getattr(line, name)) not in {None, ""}}


class Reading:
    """Reads the hits of one question."""

    def __init__(
        self,
        tenant: Tenant,
        asked: Asked,
        lines: AccessLines,
        fields: LogFieldSettings,
        projects: AbstractSet[str] | None = None,
    ) -> None:
        self.doubtful = 0  # lines left out because they may be another project's
        self._tenant = tenant
        self._asked = asked
        self._parse = asked.parse
        self._lines = lines
        self._projects = projects
        self._fields = fields
        names = (fields.log, fields.time, fields.namespace, fields.pod, fields.container, fields.instance)
        self._paths = [source_path(name).split(".") for name in names]

    @property
    def source(self) -> list[str]:
        """The fields that hits must bring."""
        return [".".join(path) for path in self._paths]

    def take(self, hit: Mapping[str, Any]) -> Line | None:
        """Return the line of a hit, or None for one that isn't asked for, or isn't the tenant's."""
        source = hit.get("_source", {})
        log, time, namespace, pod, container, instance = [_value(source, path) for path in self._paths]
        access = self._lines.read(log)
        if self._parse and not self._passes(access):
            return None
        sort = hit.get("sort") or [0]
        marks = hit.get("highlight", {}).get(self._fields.log, [])
        return Line(log, time, namespace, pod, container, instance, int(sort[0] or 0), access, "".join(marks))

    def _passes(self, access: AccessLine | None) -> bool:
        if access is None:
            return False
        if self._asked.access and not matches(access, self._asked.access):
            return False
        if not self._asked.shared:
            return True
        answer = owned(access, self._tenant.namespace, self._projects)
        self.doubtful += answer == "doubt"
        return answer == "yes"


def matches(line: AccessLine, wanted: AccessFilter) -> bool:
    """Tell whether a request is as the filter wants it; what a line doesn't say never is."""
    if wanted.statuses and not any(low <= (line.status or 0) <= high for low, high in wanted.statuses):
        return False
    if wanted.methods and line.method not in wanted.methods:
        return False
    if wanted.hosts and not any(_host(line.host, host) for host in wanted.hosts):
        return False
    if wanted.path and not line.path.startswith(wanted.path):
        return False
    if wanted.clusters and line.cluster not in wanted.clusters:
        return False
    return wanted.upstream.lower() in line.upstream.lower() and _between(line.latency, wanted)


def _between(latency: float | None, wanted: AccessFilter) -> bool:
    if wanted.latency_min is None and wanted.latency_max is None:
        return True
    if latency is None:
        return False
    low = wanted.latency_min if wanted.latency_min is not None else 0.0
    return low <= latency and (wanted.latency_max is None or latency <= wanted.latency_max)


def _host(host: str, wanted: str) -> bool:
    return host.endswith(wanted[1:]) if wanted.startswith("*.") else host == wanted


def source_path(name: str) -> str:
    """Return where a field lies in a document: a multi-field lies where its parent does."""
    return name.removesuffix(_KEYWORD)


def _value(source: Any, path: list[str]) -> str:
    for step in path:
        if not isinstance(source, dict):
            return ""
        source = source.get(step)
    return source if isinstance(source, str) else "" if source is None else str(source)
