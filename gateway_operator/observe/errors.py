"""What can go wrong when logs or metrics are asked for, in words that routes turn into answers.

GatewayOperatorError
└── ObserveError
    ├── BackendDown     Elasticsearch or Prometheus can't be reached, or answers nonsense: 503
    ├── BackendTimeout  it didn't answer in time: 504
    └── BadQuery        a parameter is wrong: 422
"""

from __future__ import annotations

from gateway_operator.errors import GatewayOperatorError


class ObserveError(GatewayOperatorError):
    """Base of what asking for logs and metrics raises on purpose."""


class BackendDown(ObserveError):
    """A backend can't be reached or answers nonsense; `backend` is its name, `text` says what happened."""

    def __init__(self, backend: str, text: str) -> None:
        super().__init__(f"{backend}: {text}")
        self.backend = backend
        self.text = text


class BackendTimeout(BackendDown):
    """A backend didn't answer in time."""


class BadQuery(ObserveError):
    """A parameter is wrong; `field` names it, `text` says what it must be."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field}: {text}")
        self.field = field
        self.text = text
