"""What the passes work with, handed down as one thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway_operator.kube import Api, EventRecorder
from gateway_operator.releases.crd_policy import ChartCrds
from gateway_operator.releases.dependents import Dependents
from gateway_operator.releases.drift import DriftCorrector
from gateway_operator.releases.helm import Helm
from gateway_operator.releases.kinds import KindLogic, PlainKind
from gateway_operator.releases.manifests import Manifests
from gateway_operator.releases.records import ReleaseIndex
from gateway_operator.releases.rollouts import Rollouts
from gateway_operator.releases.rows import Row
from gateway_operator.settings import OperatorSettings

_PLAIN = PlainKind()


@dataclass(frozen=True)
class Tools:
    """Clients, views and settings that every pass needs."""

    api: Api
    settings: OperatorSettings
    helm: Helm
    index: ReleaseIndex
    manifests: Manifests
    dependents: Dependents
    corrector: DriftCorrector
    recorder: EventRecorder
    rows: Mapping[tuple[str, str], Row]
    kinds: Mapping[tuple[str, str], KindLogic]
    rollouts: Rollouts
    crds: ChartCrds

    def logic(self, row: tuple[str, str]) -> KindLogic:
        """Return the rules of a kind."""
        return self.kinds.get(row, _PLAIN)
