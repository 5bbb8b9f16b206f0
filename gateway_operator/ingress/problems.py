"""What is wrong with an object, as plain data: the pure steps collect it, `events` tells it to the user once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Ref:
    """Which object is meant, and which version of it."""

    kind: str
    namespace: str
    name: str
    uid: str = ""
    api_version: str = "networking.k8s.io/v1"

    @classmethod
    def of(cls, obj: Mapping[str, Any], kind: str, api_version: str) -> Ref:
        """Name an object of the API server."""
        meta = obj["metadata"]
        return cls(kind, meta.get("namespace", ""), meta["name"], meta.get("uid", ""), api_version)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, order=True)
class Problem:
    """One fault: whose, where and what to do. `reason` is the Event's CamelCase reason."""

    ref: Ref
    reason: str
    field: str
    message: str

    @property
    def text(self) -> str:
        """The Event's message: the field first."""
        return f"{self.field}: {self.message}" if self.field else self.message
