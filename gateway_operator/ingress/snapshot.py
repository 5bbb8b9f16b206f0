"""The objects of one pass, as last seen, so that everything after it works on one consistent value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway_operator.ingress.problems import Problem
from gateway_operator.traffic.config import SplitConfig

Key = tuple[str, str]
Object = Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """Objects by (namespace, name); EndpointSlices by the Service they belong to. `ingresses` are ours only.

    `names` are the addresses of DNS names that Services and annotations mention, as the controller resolved them.
    `tcp` and `udp` are the data of the ConfigMaps that name ports to pass on.
    """

    ingresses: Sequence[Object] = ()
    services: Mapping[Key, Object] = field(default_factory=dict)
    slices: Mapping[Key, Sequence[Object]] = field(default_factory=dict)
    secrets: Mapping[Key, Object] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    configmaps: Mapping[Key, Object] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tcp: Mapping[str, str] = field(default_factory=dict)
    udp: Mapping[str, str] = field(default_factory=dict)
    splits: SplitConfig | None = None  # the policies of this gateway
    down: frozenset[str] = frozenset()  # clusters that probes can't reach
    split_problems: tuple[Problem, ...] = ()  # why they aren't those of the ConfigMap
    cut: frozenset[str] = frozenset()  # those of them whose connections aren't waited for any more
