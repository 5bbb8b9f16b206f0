"""Who may do what: every route names an `Action`, and nothing runs before the API server has allowed it.

`allowed(action)` is the only way in: it authenticates (401), limits (429) and authorises (403).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import Request

from gateway_operator.web.actions import Action, Right

__all__ = ["Access", "Action", "Subject", "allowed"]
NAMESPACE = "namespace"


@dataclass(frozen=True)
class Subject:
    """A user, as the API server knows it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = field(default=(), repr=False)


class Access(Protocol):
    """Decides about requests; `web/authn.py` and `web/authz.py` do it with the cluster's API server."""

    async def authenticate(self, request: Request) -> Subject:
        """Return who asks. Raises Problem 401, 429 or 503."""
        ...

    async def may(self, subject: Subject, right: Right, namespace: str = "", name: str = "") -> bool:
        """Tell whether a user has a right; `namespace` empty: everywhere. Raises Problem 503."""
        ...

    async def check(self, subject: Subject, action: Action, namespace: str) -> None:
        """Refuse what the table doesn't allow. Raises Problem 403 or 503."""
        ...


def allowed(action: Action, namespace_param: str = NAMESPACE) -> Callable[[Request], Awaitable[Subject]]:
    """Return the dependency that lets only those through who may do `action` in the namespace of the URL."""

    async def guard(request: Request) -> Subject:
        access: Access = request.app.state.services.access
        subject = await access.authenticate(request)
        await access.check(subject, action, request.path_params.get(namespace_param, ""))
        return subject

    guard.__dict__["action"] = action  # the architecture test asks every route for it
    return guard
