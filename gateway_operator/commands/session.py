"""What every command begins with: which cluster, which namespace, how to print."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway_operator.kube import Api
from gateway_operator.telemetry import setup_logging

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True)
class Session:
    """The options that all commands share; `output` is `table` or `json`."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    output: str = "table"

    @property
    def json(self) -> bool:
        """True when the answer is for a program."""
        return self.output == "json"

    @property
    def file(self) -> Path:
        """The kubeconfig that a client without further words would use."""
        return self.kubeconfig or Path(os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser())

    def where(self) -> str:
        """Return the namespace to look in: the option's, the context's, or `default`."""
        return self.namespace or _of_context(self.file, self.context) or DEFAULT_NAMESPACE

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Api]:
        """Open a client for as long as the block. Raises ConfigError."""
        setup_logging("warning", json=False)
        api = await Api.connect(self.kubeconfig, self.context)
        try:
            yield api
        finally:
            await api.close()


def _of_context(file: Path, context: str | None) -> str | None:
    """Read the namespace of a kubeconfig's context."""
    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        wanted = context or loaded.get("current-context")
        contexts: dict[Any, dict[str, str]] = {c.get("name"): c["context"] for c in loaded.get("contexts") or []}
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return None
    return contexts.get(wanted, {}).get("namespace") or None
