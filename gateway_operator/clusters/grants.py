"""What namespaces allow others, by annotations of theirs: their services to policies, their hosts to routes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gateway_operator.clusters.policies import Granted
from gateway_operator.crds.member import NAME
from gateway_operator.crds.traffic import GROUP

SERVICES_ANNOTATION = f"{GROUP}/grant-services-to"  # others whose policies may use its services
HOSTS_ANNOTATION = f"{GROUP}/share-hosts-with"  # others whose policies and Ingresses may use its policies' hosts
EVERYBODY = "*"
_NAME = re.compile(NAME)

Grants = Mapping[str, tuple[str, ...]]


def grants_of(annotation: str, namespaces: Iterable[Mapping[str, Any]]) -> Grants:
    """Return whom each Namespace that has the annotation names, sorted; what can't be a name counts for nothing."""
    found = {}
    for obj in namespaces:
        text = (obj["metadata"].get("annotations") or {}).get(annotation) or ""
        names = sorted({one.strip() for one in text.split(",")})
        if to := tuple(name for name in names if name == EVERYBODY or _NAME.fullmatch(name)):
            found[obj["metadata"]["name"]] = to
    return dict(sorted(found.items()))


def may_use(grants: Grants) -> Granted:
    """Return the question whether a namespace may use what is another's: (who asks, whose it is)."""
    return lambda of, to: bool({of, EVERYBODY} & set(grants.get(to, ())))
