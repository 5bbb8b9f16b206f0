"""One Gateway in the cache: what it claims, whose it is, and its JSON, made once for each version of the object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gateway_operator.gateways.claims import Claim, claim_of, mapping
from gateway_operator.gateways.tenancy import project_of
from gateway_operator.settings import GatewaySettings
from gateway_operator.web import views

Object = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A Gateway; `project` None: it is the cluster's."""

    obj: Object
    claim: Claim
    project: str | None

    @classmethod
    def of(cls, obj: Object, settings: GatewaySettings) -> Entry:
        """Read an object."""
        claim = claim_of(obj)
        return cls(obj, claim, project_of(claim, settings))

    @property
    def name(self) -> str:
        """Its name."""
        return self.claim.name

    @cached_property
    def by_name(self) -> tuple[str, str]:
        """Its place in lists by name."""
        return self.name, self.claim.uid

    @cached_property
    def by_time(self) -> tuple[str, str, str]:
        """Its place in lists by time of creation."""
        return self.claim.created, self.name, self.claim.uid

    @property
    def labels(self) -> Mapping[str, Any]:
        """Its labels."""
        return mapping(self.obj, "metadata", "labels")

    @property
    def annotations(self) -> Mapping[str, Any]:
        """Its annotations."""
        return mapping(self.obj, "metadata", "annotations")

    @cached_property
    def full(self) -> bytes:
        """Its JSON for those who may view it."""
        return views.dump(views.full(self.obj))

    @cached_property
    def public(self) -> bytes:
        """Its JSON for projects that it serves beside others."""
        return views.dump(views.public(self.obj))
