"""Errors as clients get them: always `application/problem+json` (RFC 9457) with a reason that a program can match.

Routes raise `Problem`, or let the errors of lower layers through; the handlers here give them status and reason.
"""

from __future__ import annotations

import http
import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway_operator.errors import ApiError, KindNotServed, Unavailable
from gateway_operator.observe.errors import BackendDown, BackendTimeout, BadQuery, ObserveError
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)
MEDIA_TYPE = "application/problem+json"
_REASONS = {
    400: "BadRequest",
    404: "NoSuchPath",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    413: "BodyTooLarge",
    415: "UnsupportedMediaType",
}
_PASSED_ON = frozenset({400, 404, 409, 413, 415, 422})


class Problem(Exception):
    """An answer that is an error; `reason` is one word for programs, `detail` a sentence for people.

    `extra` becomes members of the JSON; `headers` go with the answer.
    """

    def __init__(
        self, status: int, reason: str, detail: str, *, headers: dict[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = headers
        self.extra = extra


class ProblemResponse(Response):
    """A problem as it is sent."""

    media_type = MEDIA_TYPE

    def __init__(self, problem: Problem) -> None:
        super().__init__(json.dumps(body_of(problem)), problem.status, problem.headers)


def body_of(problem: Problem) -> dict[str, Any]:
    """Return the JSON of a problem."""
    return {
        "type": "about:blank",
        "title": http.HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "reason": problem.reason,
        **problem.extra,
    }


def of_api_error(error: ApiError) -> Problem:
    """Say what an answer of the API server means for our client; our own lack of rights is never the client's 403."""
    if isinstance(error, Unavailable) or error.status == 0:
        return Problem(503, "KubernetesUnavailable", "the API server can't be asked now; try again", down="kubernetes")
    if error.status in {401, 403}:
        log.warning("the API server refused us", error=str(error))
        text = "the API's own account isn't allowed to do this; its Role lacks a rule"
        return Problem(503, "OwnRightsMissing", text, down="kubernetes")
    if error.status == http.HTTPStatus.TOO_MANY_REQUESTS:
        return Problem(503, "KubernetesBusy", "the API server asks for patience", headers={"Retry-After": "1"})
    if error.status in _PASSED_ON:
        return Problem(error.status, error.reason, error.message)
    return Problem(502, "KubernetesRefused", error.message)


def of_observe_error(error: ObserveError) -> Problem:
    """Say what went wrong behind logs and metrics; what a backend answered stays in our log."""
    if isinstance(error, BadQuery):
        return Problem(422, "BadParameter", str(error), problems=[{"field": error.field, "text": error.text}])
    backend = error.backend if isinstance(error, BackendDown) else ""
    log.warning("a backend failed", backend=backend, error=str(error))
    if isinstance(error, BackendTimeout):
        return Problem(504, "BackendTimeout", f"{backend} didn't answer in time", down=backend)
    return Problem(503, "BackendDown", f"{backend} can't be asked now; try again", down=backend)


def of_invalid(error: RequestValidationError) -> Problem:
    """Say which parameters are wrong."""
    found = [{"field": ".".join(str(part) for part in one["loc"]), "text": str(one["msg"])} for one in error.errors()]
    text = "; ".join(f"{one['field']}: {one['text']}" for one in found)
    return Problem(422, "BadParameter", text, problems=found)


def of_http(error: HTTPException) -> Problem:
    """Give what the framework refuses a reason."""
    headers = dict(error.headers) if error.headers else None
    return Problem(error.status_code, _REASONS.get(error.status_code, "Refused"), str(error.detail), headers=headers)


def of_bug(error: Exception) -> Problem:
    """Say as little as possible."""
    log.error("a route failed", error=type(error).__name__, exc_info=error)
    return Problem(500, "InternalError", "the API failed; its log says why")


def of_missing_kind(error: KindNotServed) -> Problem:
    """Say which kind the cluster lacks."""
    return Problem(503, "KindNotServed", str(error), down="kubernetes")


_MEANINGS: dict[type[Exception], Callable[[Any], Problem]] = {
    Problem: lambda problem: problem,
    RequestValidationError: of_invalid,
    HTTPException: of_http,
    ApiError: of_api_error,
    KindNotServed: of_missing_kind,
    ObserveError: of_observe_error,
    Exception: of_bug,
}


def add_handlers(app: FastAPI) -> None:
    """Make every error that leaves a route a problem."""
    for kind, meaning in _MEANINGS.items():
        app.add_exception_handler(kind, _handler(meaning))


def _handler(meaning: Callable[[Any], Problem]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(_request: Request, error: Exception) -> Response:
        return ProblemResponse(meaning(error))

    return handle
