"""What happens to policies' requests now, as the operator asks for it: `/traffic` of the controller's port."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gateway_operator.ingress.applied import Applied
from gateway_operator.ingress.bringing import Brought
from gateway_operator.ingress.building import Built
from gateway_operator.ingress.probing import Probing
from gateway_operator.ingress.split_source import KEPT_REASON
from gateway_operator.ingress.split_types import CONTESTED, POLICY
from gateway_operator.ingress.splits import Made


class Traffic:
    """The splits of the last pass, and the probes."""

    def __init__(self, probing: Probing) -> None:
        self._probing = probing
        self._splits: tuple[Made, ...] = ()

    def take(self, splits: tuple[Made, ...]) -> None:
        """Take what nginx serves now."""
        self._splits = splits

    def as_json(self) -> dict[str, Any]:
        """Return the answer of `/traffic`; shares are in hundredths of a percent."""
        return {"clusters": self._probing.as_json(), "paths": list(_paths(self._splits))}


def with_splits(applied: Applied, before: Applied, built: Built, brought: Brought) -> Applied:
    """Say which split config nginx serves: the one before while something of the newest has to wait or has no room."""
    if brought.wait or brought.full:
        return replace(applied, splits=before.splits, split_problems=before.split_problems, contests=before.contests)
    ours = [item for item in built.problems if item.ref.kind == POLICY or item.reason == KEPT_REASON]
    problems = sorted(
        ("" if item.ref.kind != POLICY else str(item.ref), item.field, item.reason, item.message)
        for item in ours
        if item.reason != CONTESTED
    )
    contests = sorted({(str(item.ref), item.field, item.message) for item in ours if item.reason == CONTESTED})
    return replace(applied, splits=built.splits, split_problems=tuple(problems), contests=tuple(contests))


def _paths(splits: Iterable[Made]) -> Iterable[dict[str, Any]]:
    for made in sorted(splits, key=lambda item: (item.need.path.namespace, item.need.path.policy, item.need.id)):
        path = made.need.path
        yield {
            "policy": f"{path.namespace}/{path.policy}",
            "where": path.config.where,
            "clusters": [
                {
                    "name": share.name,
                    "effective": share.effective,
                    "ready": len(made.endpoints.get(share.name, ())),
                    "state": share.state,
                    "reason": share.reason,
                }
                for share in made.shares
            ],
        }
