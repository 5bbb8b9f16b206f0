"""What the API tells of a gateway's releases; the program that starts the server knows how Helm keeps them."""

from __future__ import annotations

from typing import Any, Protocol

Object = dict[str, Any]


class Releases(Protocol):
    """Looks at releases and changes nothing."""

    async def plan(self, gateway: Object, peers: list[Object]) -> list[Object]:
        """Return what the operator would do for a Gateway, and for what its release makes, as JSON.

        Raises ApiError, Problem.
        """
        ...

    async def history(self, gateway: Object) -> Object:
        """Return `{"release": name, "revisions": [...]}`, the oldest first. Raises ApiError."""
        ...
