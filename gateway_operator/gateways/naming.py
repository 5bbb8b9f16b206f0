"""How a Gateway's own objects are called, whatever its name is.

Programs that never see the release (the API, queries for logs and metrics) find a gateway's pods by these names.
"""

from __future__ import annotations

import hashlib
import re

from gateway_operator.crds.base import GROUP
from gateway_operator.gateways.claims import Claim
from gateway_operator.names import HASH_LENGTH, short_name

FULLNAME_LIMIT = 48  # leaves room for the longest suffix of a Service, "-defaultbackend", within 63 characters
CONTROLLER_LIMIT = 200
NGINX_NAME_LIMIT = 45  # with "-ingress" a Helm release name of at most 53 characters
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def nginx_name(name: str) -> str:
    """Return the name of the Nginx object, and of its release, that a Gateway makes."""
    return f"{short_name(name, NGINX_NAME_LIMIT)}-ingress"


def service_name(name: str) -> str:
    """Return a name for the gateway's objects that is also a valid name of a Service."""
    if _LABEL.fullmatch(name):
        return short_name(name, FULLNAME_LIMIT)
    digest = hashlib.sha256(name.encode()).hexdigest()[:HASH_LENGTH]
    cleaned = "gw-" + re.sub(r"[^-a-z0-9]", "-", name)
    return f"{cleaned[: FULLNAME_LIMIT - HASH_LENGTH - 1].rstrip('-')}-{digest}"


def controller_value(claim: Claim) -> str:
    """Return what the gateway's IngressClass names as its controller; no two gateways share one."""
    return f"{GROUP}/{short_name(f'{claim.namespace}.{claim.name}', CONTROLLER_LIMIT)}"
