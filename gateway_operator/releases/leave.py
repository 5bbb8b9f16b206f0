"""Fields that a repair leaves alone: what the API server, controllers and this operator keep, and what rules name.

Pure. What is left alone must also survive the repair of its neighbours: an apply that doesn't name a field gives it
up, and the API server then removes what nobody owns. So `without` fills such places with what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway_operator.releases import names
from gateway_operator.releases.diff import match
from gateway_operator.releases.ownership import Path, Tree, below, indivisible
from gateway_operator.releases.pointers import fits
from gateway_operator.releases.pointers import names as names_field

_ANNOTATIONS = ("metadata", "annotations")
_RESTARTED = "kubectl.kubernetes.io/restartedAt"  # a request to restart, which putting back would undo
ALWAYS: tuple[Path, ...] = (
    ("status",),
    ("metadata", "finalizers"),
    ("metadata", "ownerReferences"),
    (*_ANNOTATIONS, f"{names.GROUP}/*"),  # requests to us
    (*_ANNOTATIONS, "helm.sdk.operatorframework.io/*"),
    ("spec", "template", *_ANNOTATIONS, _RESTARTED),
)
# what controllers of Kubernetes note on objects
_NOTES: tuple[Path, ...] = (
    (*_ANNOTATIONS, "deployment.kubernetes.io/*"),
    (*_ANNOTATIONS, "deprecated.daemonset.template.generation"),
    (*_ANNOTATIONS, "control-plane.alpha.kubernetes.io/*"),
    (*_ANNOTATIONS, "autoscaling.alpha.kubernetes.io/*"),
    (*_ANNOTATIONS, "endpoints.kubernetes.io/*"),
    (*_ANNOTATIONS, "pv.kubernetes.io/*"),
    (*_ANNOTATIONS, "volume.kubernetes.io/*"),
    (*_ANNOTATIONS, "volume.beta.kubernetes.io/*"),
)
# left alone where the chart doesn't set them
_UNSET_OF: dict[str, tuple[Path, ...]] = {  # by API group
    "apps": (("spec", "replicas"),),  # a chart that sets none leaves them to an autoscaler
    "admissionregistration.k8s.io": (("webhooks", "*", "clientConfig", "caBundle"),),
    "apiextensions.k8s.io": (("spec", "conversion", "webhook", "clientConfig", "caBundle"),),
    "apiregistration.k8s.io": (("spec", "caBundle"),),
}


def unset(group: str) -> tuple[Path, ...]:
    """Return the patterns of fields that may be added to objects of an API group, by whoever it is.

    Annotations are how tools and people mark objects; those of a pod template are part of what runs, and don't count.
    """
    return ((*_ANNOTATIONS, "*"), *_UNSET_OF.get(group, ()))


def is_kept(path: Path) -> bool:
    """Tell whether a field is never ours to change, so that a change of it isn't our doing."""
    return any(names_field(pattern, path) for pattern in (*ALWAYS, *_NOTES))


def without(wanted: Any, live: Any, pattern: Sequence[str], every: Sequence[Tree], helm: Sequence[Tree]) -> Any:
    """Return `wanted` so that an apply of it changes nothing where `pattern` names a field.

    `every` and `helm` are what all managers and Helm own. What Helm owns is named with its live value, and so is a
    part of an indivisible value; anything else is left out, which leaves it to its owner. Indices are those of `live`.
    """
    return _without(wanted, live, tuple(pattern), every, helm, inside=False)


def _without(
    wanted: Any, live: Any, pattern: Path, every: Sequence[Tree], helm: Sequence[Tree], *, inside: bool
) -> Any:
    inside = inside or indivisible(every)  # a part of one value
    head, rest = pattern[0], pattern[1:]
    if isinstance(wanted, dict) and isinstance(live, dict):
        result: dict[str, Any] = dict(wanted)
        for key in [k for k in wanted if fits(head, k)]:
            subs = below(every, live, key), below(helm, live, key)
            if key in live and rest:
                result[key] = _without(wanted[key], live[key], rest, *subs, inside=inside)
            elif key in live and (subs[1] or inside):
                result[key] = live[key]
            elif not rest:
                del result[key]
        return result
    if isinstance(wanted, list) and isinstance(live, list):
        places = match(wanted, live) or [n if n < len(live) else None for n in range(len(wanted))]
        items = []
        for item, place in zip(wanted, places, strict=True):
            if place is None or not fits(head, str(place)):
                items.append(item)
            elif rest:
                subs = below(every, live, str(place)), below(helm, live, str(place))
                items.append(_without(item, live[place], rest, *subs, inside=inside))
            else:
                items.append(live[place])
        return items
    return wanted
