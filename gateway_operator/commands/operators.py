"""Finds the operators that are installed in a cluster, and the settings that they run with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gateway_operator.errors import ApiError
from gateway_operator.kube import Api
from gateway_operator.releases.crds import PART_OF
from gateway_operator.settings import GatewaySettings, load_settings

SELECTOR = f"{PART_OF[0]}={PART_OF[1]},app.kubernetes.io/component=operator"


@dataclass(frozen=True)
class Operator:
    """One installation: its Deployment and the settings in its ConfigMap (empty where they can't be read)."""

    deployment: dict[str, Any]
    settings: dict[str, Any]

    @property
    def namespace(self) -> str:
        """Return its namespace."""
        return str(self.deployment["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Return the name of its Deployment."""
        return str(self.deployment["metadata"]["name"])

    @property
    def account(self) -> str:
        """Return the user that its pods are."""
        pod = self.deployment["spec"]["template"]["spec"]
        return f"system:serviceaccount:{self.namespace}:{pod.get('serviceAccountName') or 'default'}"


async def operators(api: Api, namespace: str | None = None) -> list[Operator]:
    """Return the installed operators (of one namespace). Raises ApiError."""
    deployments = await api.resource("apps/v1", "Deployment")
    listing = await api.list(deployments, namespace, label_selector=SELECTOR)
    return [Operator(found, await _settings(api, found)) for found in listing.items]


async def _settings(api: Api, deployment: dict[str, Any]) -> dict[str, Any]:
    configmaps = await api.resource("v1", "ConfigMap")
    volumes = deployment["spec"]["template"]["spec"].get("volumes") or []
    name = next((v["configMap"]["name"] for v in volumes if v.get("name") == "config" and v.get("configMap")), "")
    if not name:
        return {}
    try:
        found = await api.get(configmaps, name, deployment["metadata"]["namespace"])
        loaded = yaml.safe_load((found.get("data") or {}).get("config.yaml") or "")
    except (ApiError, yaml.YAMLError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


async def gateway_settings(api: Api, config: Path | None) -> tuple[GatewaySettings, str]:
    """Return the settings of gateways and where they come from: a file, the installed operator, or the defaults.

    Raises ConfigError.
    """
    if config:
        return load_settings(config, {}).gateway, str(config)
    try:
        found = await operators(api)
        for one in found:
            return GatewaySettings.model_validate(
                one.settings.get("gateway") or {}
            ), f"Deployment {one.namespace}/{one.name}"
    except (ApiError, ValidationError) as error:
        return load_settings(None, {}).gateway, f"defaults, since the operator's can't be read: {error}"
    return load_settings(None, {}).gateway, "defaults: no operator is installed; --config names a file"
