"""What one row of the annotation table says, and how a group of annotations declares its rows.

A group is a frozen dataclass: each field is an annotation's typed value (None where the Ingress says nothing), and its
metadata is the row. So the value's type, its reader, its scope and what users are told can't drift apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

PREFIX = "nginx.ingress.kubernetes.io/"
OURS = "gateway.kubesphere.io/"

Reader = Callable[[str], Any]


class Support(StrEnum):
    """What an Ingress that moves here can expect of an annotation."""

    SUPPORTED = "supported"
    DIFFERS = "differs"
    UNSUPPORTED = "unsupported"


class Scope(StrEnum):
    """What an annotation is about: its Ingress's own paths, the whole host, or the backends' endpoints."""

    LOCATION = "location"
    SERVER = "server"
    BACKEND = "backend"


class Risk(IntEnum):
    """Upstream's word on what a value could do; the ConfigMap's `annotations-risk-level` is the highest that passes."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    CRITICAL = 3


LOCATION, SERVER, BACKEND = Scope.LOCATION, Scope.SERVER, Scope.BACKEND
LOW, MEDIUM, HIGH, CRITICAL = Risk.LOW, Risk.MEDIUM, Risk.HIGH, Risk.CRITICAL


@dataclass(frozen=True)
class Row:
    """One annotation. `note` says what is taken, how it differs or what to do instead.

    `closes`: a bad value shuts the paths (503). `name` is without the prefix; `aliases` are older names, which hold
    when the name itself isn't there. `fallback` is what a bad value comes to where None would mean too much.
    """

    name: str
    support: Support
    scope: Scope
    read: Reader | None = None
    note: str = ""
    closes: bool = False
    risk: Risk = LOW
    aliases: tuple[str, ...] = ()
    prefix: str = PREFIX
    fallback: Any = None

    @property
    def field(self) -> str:
        """The name of the field that has the value."""
        return self.name.replace("-", "_")

    @property
    def key(self) -> str:
        """The annotation as users write it."""
        return self.prefix + self.name


def note(read: Reader, scope: Scope, says: str = "", *, differs: str = "", **more: Any) -> Any:
    """Declare a field of a group.

    `says` is about which values are taken; `differs` tells where one that is taken acts otherwise than upstream's.
    """
    support = Support.DIFFERS if differs else Support.SUPPORTED
    row = {"read": read, "scope": scope, "support": support, "note": differs or says} | more
    return dataclasses.field(default=None, metadata={"row": row})


def rows_of(group: type[Any]) -> tuple[Row, ...]:
    """Return the rows that a group declares, in their order."""
    return tuple(
        Row(name=item.name.replace("_", "-"), **item.metadata["row"])
        for item in dataclasses.fields(group)
        if "row" in item.metadata
    )


def unsupported(name: str, scope: Scope, instead: str, *, risk: Risk = LOW, closes: bool = False) -> Row:
    """Declare an annotation of upstream's that isn't honoured, with what to do instead."""
    return Row(name, Support.UNSUPPORTED, scope, None, instead, closes=closes, risk=risk)
