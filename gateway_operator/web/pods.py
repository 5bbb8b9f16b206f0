"""The pods of a gateway and their logs, asked of the API server when somebody looks; only pods of that gateway."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway_operator.gateways.claims import mapping
from gateway_operator.gateways.naming import service_name
from gateway_operator.kube import Api, ByteStream
from gateway_operator.web.entries import Entry
from gateway_operator.web.listing import bad_parameter
from gateway_operator.web.problems import Problem

Object = dict[str, Any]
_NUMBER = (re.compile(r"[1-9][0-9]{0,14}"), "must be a number above 0")
_FLAG = (re.compile("true|false"), "must be true or false")
_PARAMETERS: dict[str, tuple[re.Pattern[str], str]] = {
    "container": (re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"), "must be the name of a container"),
    "follow": _FLAG,
    "previous": _FLAG,
    "timestamps": _FLAG,
    "sinceSeconds": _NUMBER,
    "limitBytes": _NUMBER,
    "tailLines": (re.compile(r"-1|0|[1-9][0-9]{0,14}"), "must be a number of lines, or -1 for all"),
    "sinceTime": (
        re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"),
        "must be a time, as 2026-01-31T10:00:00Z",
    ),
}


class Pods:
    """Looks at pods."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def of(self, entry: Entry) -> list[Object]:
        """Return a gateway's pods by name; none before it is deployed. Raises ApiError."""
        selector = mapping(entry.obj, "status").get("selector")
        if not selector:
            return []
        listing = await self._api.list(
            await self._api.resource("v1", "Pod"), entry.claim.namespace, label_selector=str(selector)
        )
        for pod in listing.items:
            pod["metadata"].pop("managedFields", None)
        return sorted(listing.items, key=lambda pod: str(pod["metadata"]["name"]))

    async def log(self, entry: Entry, pod: str, params: Mapping[str, str]) -> ByteStream:
        """Open a log and return its stream. Raises Problem 404 for a pod that isn't the gateway's, ApiError."""
        query = log_query(params)
        if all(one["metadata"]["name"] != pod for one in await self.of(entry)):
            raise Problem(404, "NoPod", f"gateway {entry.name} has no pod {pod!r}")
        resource = await self._api.resource("v1", "Pod")
        return await self._api.stream(resource.path(entry.claim.namespace, pod, "log"), query)


def log_query(params: Mapping[str, str]) -> dict[str, str]:
    """Check the PodLogOptions of a request. Raises Problem 422."""
    for name, value in params.items():
        if name not in _PARAMETERS:
            known = ", ".join(_PARAMETERS)
            raise Problem(422, "UnknownParameter", f"there is no parameter {name!r}; there are {known}")
        form, text = _PARAMETERS[name]
        if value and not form.fullmatch(value):
            raise bad_parameter(name, text)
    if params.get("sinceTime") and params.get("sinceSeconds"):
        raise bad_parameter("sinceTime", "can't go together with sinceSeconds")
    return {name: value for name, value in params.items() if value and (name, value) != ("tailLines", "-1")}


_FIELDS: dict[str, Callable[[Object, str], bool]] = {
    "name": lambda pod, value: value in pod["metadata"]["name"],
    "names": lambda pod, value: pod["metadata"]["name"] in value.split(","),
    "nodeName": lambda pod, value: mapping(pod, "spec").get("nodeName") == value,
    "status": lambda pod, value: mapping(pod, "status").get("phase") == value,
    "phase": lambda pod, value: mapping(pod, "status").get("phase") == value,
    "pvcName": lambda pod, value: any(
        mapping(volume, "persistentVolumeClaim").get("claimName") == value
        for volume in mapping(pod, "spec").get("volumes") or ()
    ),
}


def pick(pods: list[Object], params: Mapping[str, str], gateway: str) -> dict[str, Any]:
    """Filter, sort and cut the list of a gateway's pods as a client asks. Raises Problem 422.

    `serviceName` gives all of them for a Service of the gateway's own, which selects them all, and none for others.
    """
    known = (*_FIELDS, "serviceName", "page", "limit", "sortBy", "ascending")
    for name in params:
        if name not in known:
            raise Problem(422, "UnknownParameter", f"there is no parameter {name!r}; there are {', '.join(known)}")
    found = [pod for pod in pods if all(test(pod, params[name]) for name, test in _FIELDS.items() if params.get(name))]
    if params.get("serviceName") not in {None, "", *services_of(gateway)}:
        found = []
    if params.get("sortBy") != "name":
        found.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    if params.get("ascending", "").lower() not in {"true", "1"}:
        found.reverse()
    page, limit = _number(params, "page", 1), _number(params, "limit", -1)
    cut = found if limit < 0 else found[(page - 1) * limit : page * limit]
    return {"items": cut, "totalItems": len(found)}


def services_of(gateway: str) -> tuple[str, str]:
    """Return the names of the Services whose pods are a gateway's: that of its traffic and that of its metrics."""
    return service_name(gateway), f"{service_name(gateway)}-metrics"


def _number(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name) or str(default)
    if not re.fullmatch(r"-1|\d{1,9}", text) or (name == "page" and int(text) < 1):
        raise bad_parameter(name, "must be a number")
    return int(text)
