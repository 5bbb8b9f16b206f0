"""What is said about a custom resource before anything is done: refused, or served with a remark."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Why a custom resource is not served; it is looked at again when its peers change."""

    reason: str
    message: str


@dataclass(frozen=True)
class Notice:
    """A remark that refuses nothing: a Warning Event and a line in the status."""

    reason: str
    message: str
