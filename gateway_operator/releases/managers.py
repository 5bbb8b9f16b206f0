"""Who is behind a field manager's name: Helm, this operator, a controller of the cluster, or a person.

A name is all that the API server keeps, so this is a rule and not knowledge: kubectl is a person; who writes the
object's status is its controller; programs call themselves controller, operator, manager, injector when they are one;
some well-known ones don't and are listed. Everybody else counts as a person. docs/spec/drift.md tells it to users.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum
from fnmatch import fnmatchcase

from gateway_operator.releases import names


class Role(Enum):
    """Who writes, as far as repairs care."""

    HELM = "helm"
    OURS = "ours"
    CONTROLLER = "controller"
    PERSON = "person"


_HELM = frozenset({names.HELM_MANAGER, "helm3", "helm4"})
_OURS = "gateway-operator"
_CONTROLLERS = frozenset(
    {
        "kubelet",
        "kube-apiserver",
        "before-first-apply",  # the API server's name for what was there before it kept owners
        "kube-webhook-certgen",
        "istiod",
        "pilot-discovery",
        "external-dns",
        "keda",
        "cilium-agent",
    }
)
_WORDS = frozenset(
    {
        "controller",
        "controllers",
        "manager",
        "operator",
        "scheduler",
        "autoscaler",
        "injector",
        "cainjector",
        "provisioner",
        "webhook",
    }
)
_BETWEEN = re.compile(r"[^a-z0-9]+")


def role_of(manager: str, *, status_writers: Collection[str] = (), more: Collection[str] = ()) -> Role:
    """Say who `manager` is, on an object whose status has these writers; `more` are patterns of further controllers."""
    if manager in _HELM:
        return Role.HELM
    if manager == _OURS or manager.startswith(f"{_OURS}-"):
        return Role.OURS
    if any(fnmatchcase(manager, pattern) for pattern in more):
        return Role.CONTROLLER
    if manager.startswith("kubectl"):
        return Role.PERSON
    known = manager in status_writers or manager in _CONTROLLERS
    return Role.CONTROLLER if known or _WORDS & set(_BETWEEN.split(manager.lower())) else Role.PERSON
