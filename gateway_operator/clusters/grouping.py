"""Slices by the Service that they belong to: those of members, and the mirrors in the centre. Pure.

Tuples, not dicts: there are thousands of Services, and most of them have one slice.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

Key = tuple[str, str]  # namespace, name


class OfService(Protocol):
    """A slice, whatever is kept of it."""

    @property
    def key(self) -> Key: ...  # noqa: D102

    @property
    def service(self) -> Key: ...  # noqa: D102


S = TypeVar("S", bound=OfService)
Groups = dict[Key, tuple[S, ...]]


def take_out(groups: Groups[S], item: S) -> None:
    """Remove what has the item's key from its Service's slices; a Service without any has no entry."""
    if left := tuple(one for one in groups.get(item.service, ()) if one.key != item.key):
        groups[item.service] = left
    else:
        groups.pop(item.service, None)


def put_in(groups: Groups[S], item: S) -> None:
    """Add an item to its Service's slices, in place of the one with its key."""
    groups[item.service] = (*(one for one in groups.get(item.service, ()) if one.key != item.key), item)
