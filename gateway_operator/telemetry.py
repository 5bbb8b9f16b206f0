"""Logging set up once for all roles, so that kopf's, aiohttp's and our own lines have one form.

A line has a constant message and its values beside it, which makes lines searchable. Values that hold credentials are
never passed; `redact` is the last net below that rule.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_NAMES = re.compile(r"(token|password|secret|authorization|kubeconfig)$", re.IGNORECASE)
_NOISY = ("pyhelm3", "kopf", "aiohttp.access", "asyncio")


def setup_logging(level: str = "info", *, json: bool = False) -> None:
    """Send every log line of the process to stderr, in one form. `level` is debug, info, warning or error."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    renderer: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:  # they speak of every request; at debug they may
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.getLogger("pyhelm3").setLevel(logging.ERROR)  # it logs whole command lines


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; call it with a constant message and key=value pairs."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank values whose names say that they are secret."""
    for key in event:
        if _SECRET_NAMES.search(key):
            event[key] = "***"
    return event
