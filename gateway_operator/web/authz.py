"""Asks the API server whether a user may do what a route does: SubjectAccessReview by the table of `actions.py`."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from gateway_operator.errors import ApiError
from gateway_operator.kube import Api
from gateway_operator.settings_api import ApiSettings
from gateway_operator.web.access import Subject
from gateway_operator.web.actions import CLUSTER_URL_NAMESPACE, RIGHTS, Action, Right
from gateway_operator.web.authn import Authenticator
from gateway_operator.web.caches import Memory
from gateway_operator.web.limits import Limits
from gateway_operator.web.problems import Problem, of_api_error

_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class ClusterAccess:
    """The cluster's API server decides; its answers are believed for some seconds."""

    def __init__(self, api: Api, settings: ApiSettings, limits: Limits) -> None:
        self._api = api
        self._limits = limits
        self._authenticator = Authenticator(api, settings.api.access, limits)
        chosen = settings.api.access
        self._decided: Memory[tuple[Subject, Right, str, str], bool] = Memory(
            chosen.entries, lambda yes: chosen.allowed_seconds if yes else chosen.denied_seconds
        )

    async def authenticate(self, request: Request) -> Subject:
        """Return who asks, and count the request. Raises Problem 401, 429 or 503."""
        subject = await self._authenticator.subject(request)
        request.state.subject = subject.name  # for the audit line
        self._limits.take(f"user {subject.name}")
        return subject

    async def may(self, subject: Subject, right: Right, namespace: str = "", name: str = "") -> bool:
        """Tell whether a user has a right; `namespace` empty: everywhere. Raises Problem 503."""
        where = "" if right.scope in {"cluster", "path"} or namespace == CLUSTER_URL_NAMESPACE else namespace
        try:
            return await self._decided.get(
                (subject, right, where, name), lambda: self._review(subject, right, where, name)
            )
        except ApiError as error:
            raise of_api_error(error) from error

    async def check(self, subject: Subject, action: Action, namespace: str) -> None:
        """Refuse what the table doesn't allow. Raises Problem 403 or 503."""
        right = RIGHTS[action]
        if right.scope == "listed":
            return
        if right.scope == "project" and not namespace:
            raise RuntimeError(f"{action} is about a project, and the route names none")
        if not await self.may(subject, right, namespace):
            raise forbidden(subject, right, namespace)

    async def _review(self, subject: Subject, right: Right, namespace: str, name: str) -> bool:
        spec: dict[str, Any] = {"user": subject.name, "groups": list(subject.groups)}
        if subject.uid:
            spec["uid"] = subject.uid
        if subject.extra:
            spec["extra"] = {key: list(values) for key, values in subject.extra}
        if right.scope == "path":
            spec["nonResourceAttributes"] = {"path": right.resource, "verb": right.verb}
        else:
            attributes = {
                "group": right.group,
                "resource": right.resource,
                "subresource": right.subresource,
                "verb": right.verb,
                "namespace": namespace,
                "name": name,
            }
            spec["resourceAttributes"] = {key: value for key, value in attributes.items() if value}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        status = (await self._api.raw("POST", _REVIEWS, body=body)).get("status") or {}
        return bool(status.get("allowed")) and not status.get("denied")


def forbidden(subject: Subject, right: Right, namespace: str) -> Problem:
    """Make the 403, in words that an administrator can turn into a Role."""
    resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
    group = f' of API group "{right.group}"' if right.group else ""
    everywhere = right.scope in {"cluster", "path"} or namespace == CLUSTER_URL_NAMESPACE
    where = "for the whole cluster" if everywhere else f'in namespace "{namespace}"'
    return Problem(403, "Forbidden", f'user "{subject.name}" may not {right.verb} {resource}{group} {where}')
