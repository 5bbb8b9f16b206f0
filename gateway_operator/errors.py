"""One tree of exceptions, so that each place that handles an error can ask what it means, not where it came from.

GatewayOperatorError
├── ConfigError            settings, watches.yaml or a chart are wrong: nothing starts, the text says what to do
├── LeaseLost              this replica may not act any more: another one may be at work already
├── KindNotServed          the cluster has no such kind (a CRD is missing); may change, so it is asked again
└── ApiError               the API server said no
    ├── Unauthorized  401    ├── NotFound  404          ├── Invalid  422
    ├── Forbidden     403    ├── Conflict  409          ├── TooManyRequests  429
    └── Gone          410    │   └── AlreadyExists      └── Unavailable  5xx, refused, timed out
"""

from __future__ import annotations

from typing import Any


class GatewayOperatorError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(GatewayOperatorError):
    """Settings, watches.yaml or a chart are wrong; the message names file and field and says what to do."""


class LeaseLost(GatewayOperatorError):
    """The lease isn't ours for certain any more; nothing may be written."""


class KindNotServed(GatewayOperatorError):
    """The API server serves no such kind: its CRD isn't installed, or not in this version."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(f"the cluster serves no kind {kind} in {api_version}: install its CustomResourceDefinition")
        self.api_version = api_version
        self.kind = kind


class ApiError(GatewayOperatorError):
    """The API server refused a request, or could not be asked.

    `status` is the HTTP status (0 when there was no answer), `reason` Kubernetes' own word (`NotFound`, ...).
    """

    def __init__(self, status: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(f"{message} ({reason}, {status})" if status else f"{message} ({reason})")
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details or {}

    @property
    def retryable(self) -> bool:
        """True when the same request may succeed later without anybody changing it."""
        return isinstance(self, (Unavailable, TooManyRequests))

    @property
    def conflicts(self) -> list[tuple[str, str]]:
        """(manager, field) pairs of a server-side apply that met other owners; empty for other errors."""
        causes = self.details.get("causes") or []
        return [
            (_quoted(cause.get("message", "")), cause.get("field", ""))
            for cause in causes
            if cause.get("reason") == "FieldManagerConflict"
        ]


class Unauthorized(ApiError):
    """The credentials are not accepted (expired, or for another cluster)."""


class Forbidden(ApiError):
    """RBAC doesn't allow the request: a rule is missing."""


class NotFound(ApiError):
    """There is no such object."""


class Conflict(ApiError):
    """The object changed meanwhile, or a field belongs to another manager."""


class AlreadyExists(Conflict):
    """An object of this name is there already."""


class Gone(ApiError):
    """The resourceVersion is too old for a watch: list again."""


class Invalid(ApiError):
    """The object breaks a rule of its schema."""


class TooManyRequests(ApiError):
    """The API server asks for patience."""


class Unavailable(ApiError):
    """The API server is away, or answers that it can't now."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def api_error(status: int, body: dict[str, Any]) -> ApiError:
    """Turn a `Status` object of the API server into the exception that stands for it."""
    reason = str(body.get("reason") or "Unknown")
    message = str(body.get("message") or f"HTTP {status}")
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else ApiError)  # noqa: PLR2004
    if reason == "AlreadyExists":
        kind = AlreadyExists
    return kind(status, reason, message, body.get("details"))


def _quoted(message: str) -> str:
    """The manager's name in `conflict with "manager" using v1`."""
    parts = message.split('"')
    return parts[1] if len(parts) > 2 else ""  # noqa: PLR2004
