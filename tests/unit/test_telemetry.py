"""Log lines never carry a secret."""

from __future__ import annotations

from gateway_operator.telemetry import redact


def test_secret_values_are_blanked() -> None:
    """A value whose name says that it is secret is not printed."""
    event = {"event": "joined", "token": "abc", "client_secret": "abc", "name": "wuhan"}
    assert redact(None, "info", event) == {"event": "joined", "token": "***", "client_secret": "***", "name": "wuhan"}
