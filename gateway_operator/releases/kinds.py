"""What may differ from kind to kind, so that the engine has no branch for any of them.

A `KindLogic` turns a custom resource into the values of its release, may refuse it, and adds to its status. All of it
is pure: it sees plain objects and returns plain data. Kinds without an entry in `KINDS` run the Helm operator's rule:
the spec is the values document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway_operator.gateways.verdicts import Notice, Refusal
from gateway_operator.names import release_name
from gateway_operator.settings import GatewaySettings


@dataclass(frozen=True)
class Traffic:
    """Values that lie over a release's others and that other objects decide; `digest` names them, empty for none.

    `make` gives them: most passes need no more than their name, and they can be large. While they aren't `known`, as
    shortly after the start, a release that has some keeps what it has, and one whose values they are the most of
    (`required`) isn't made.
    """

    make: Callable[[], dict[str, Any]] = dict
    digest: str = ""
    known: bool = True
    required: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """The values, made anew."""
        return self.make()


@dataclass(frozen=True)
class ReleasePlan:
    """What should run for a custom resource."""

    release_name: str
    values: dict[str, Any]
    refusal: Refusal | None = None
    notices: tuple[Notice, ...] = ()
    traffic: Traffic = field(default_factory=Traffic)


@dataclass(frozen=True)
class LiveObjects:
    """The objects of a release as last seen.

    Whole are workloads, Services and custom resources of watched kinds; of all others little but the name is known.
    """

    objects: tuple[dict[str, Any], ...] = ()

    def of_kind(self, kind: str, group: str | None = None) -> list[dict[str, Any]]:
        """Return the objects of `kind`, in the order of their names; `group` None means any."""
        found = [o for o in self.objects if o.get("kind") == kind and group in {None, group_of(o)}]
        return sorted(found, key=lambda o: (o["metadata"].get("namespace", ""), o["metadata"]["name"]))


class KindLogic(Protocol):
    """The special rules of one kind.

    With an attribute `guest` that is true, the status is somebody else's: the engine only says what it did. An
    attribute `unread` names the large fields, as ("spec", "x"), that needn't be held in memory.
    """

    def plan(
        self, obj: dict[str, Any], peers: Sequence[dict[str, Any]], settings: GatewaySettings, *, installed: bool
    ) -> ReleasePlan:
        """Say what should run for `obj`; `peers` are all objects of the kind, `obj` among them."""
        ...

    def peers_affected(self, obj: dict[str, Any]) -> bool:
        """Tell whether a change or the deletion of `obj` may change the plans of its peers."""
        ...

    def status(self, obj: dict[str, Any], live: LiveObjects) -> dict[str, Any]:
        """Return the status fields that are the kind's own.

        The key `conditions` may hold a list of `{type, status: "True"|"False"|"Unknown", reason, message}`; the engine
        adds generation and time. A condition here never replaces those of the engine. A condition with the key
        `blocksReady: True` that isn't True keeps Ready from being True (the key itself isn't written).
        """
        ...


class PlainKind:
    """The Helm operator's rule: the spec is the values document, the release has the name of its resource."""

    def plan(
        self, obj: dict[str, Any], peers: Sequence[dict[str, Any]], settings: GatewaySettings, *, installed: bool
    ) -> ReleasePlan:
        """Take the spec as it is."""
        del peers, settings, installed
        return ReleasePlan(release_name(obj["metadata"]["name"]), dict(obj.get("spec") or {}))

    def peers_affected(self, obj: dict[str, Any]) -> bool:
        """Plain kinds don't look at each other."""
        del obj
        return False

    def status(self, obj: dict[str, Any], live: LiveObjects) -> dict[str, Any]:
        """Nothing beyond what the engine writes."""
        del obj, live
        return {}


def is_guest(logic: KindLogic) -> bool:
    """Tell whether the status of a kind's objects is somebody else's."""
    return bool(getattr(logic, "guest", False))


KINDS: dict[tuple[str, str], KindLogic] = {}  # (group, kind) -> its rules; modules of special kinds register here


def group_of(obj: dict[str, Any]) -> str:
    """Return the API group of an object, "" for the core group."""
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    return group if version else ""
