"""Which Ingresses are ours, by upstream's rule, so that a migrated cluster doesn't change hands.

`spec.ingressClassName` decides when it is set; else the old annotation; else only `--watch-ingress-without-class`. A
gateway that can't read IngressClasses (its rights end at one namespace) compares the class's name with
`--ingress-class`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_operator.ingress.options import IngressOptions

ANNOTATION = "kubernetes.io/ingress.class"


def is_ours(ingress: Mapping[str, Any], classes: Mapping[str, Any] | None, options: IngressOptions) -> bool:
    """Tell whether this gateway serves an Ingress; `classes` is None where IngressClasses can't be read."""
    name = (ingress.get("spec") or {}).get("ingressClassName")
    if name is not None:
        if classes is None:
            return bool(name == options.ingress_class)
        found = classes.get(name)
        return found is not None and _class_is_ours(name, found, options)
    annotations = ingress["metadata"].get("annotations") or {}
    if ANNOTATION in annotations:
        return annotations[ANNOTATION] in {"", options.ingress_class}
    return options.watch_ingress_without_class


def _class_is_ours(name: str, obj: Mapping[str, Any], options: IngressOptions) -> bool:
    if options.ingress_class_by_name and name == options.ingress_class:
        return True
    return bool((obj.get("spec") or {}).get("controller") == options.controller_class)
