"""Makes Gateways for tests of the rules, each with a second of its own as time of creation."""

from __future__ import annotations

from typing import Any

from gateway_operator.releases.values import merge
from gateway_operator.settings import GatewaySettings

WORKING = "kubesphere-controls-system"
SETTINGS = GatewaySettings.model_validate({})
PROJECT_SCOPE: dict[str, Any] = {"controller": {"scope": {"enabled": True}}}


def gateway(
    name: str, namespace: str = WORKING, spec: dict[str, Any] | None = None, *, age: int = 0, installed: bool = False
) -> dict[str, Any]:
    """Make a Gateway; a higher age means created later."""
    obj: dict[str, Any] = {
        "apiVersion": "gateway.kubesphere.io/v1alpha1",
        "kind": "Gateway",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "creationTimestamp": f"2026-01-01T00:00:{age:02d}Z",
        },
        "spec": spec or {},
    }
    if installed:
        obj["status"] = {"deployedRelease": {"name": name, "revision": 1}}
    return obj


def project(name: str, namespace: str, spec: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Make a project gateway of its own namespace."""
    return gateway(name, namespace, merge(PROJECT_SCOPE, spec or {}), **more)
