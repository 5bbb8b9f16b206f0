"""One typed tree of settings, built once and handed down.

The section `gateway` keeps the names that KubeSphere's users know (`watchesPath namespace repository tag`), so that
their file can be used as it is. Flags win over environment variables (`GATEWAY_OPERATOR_...`), which win over the file.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway_operator.errors import ConfigError

DEFAULT_WORKING_NAMESPACE = "kubesphere-controls-system"


class GatewaySettings(BaseModel):
    """The section `gateway`: what holds for every gateway."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    watches_path: Path | None = Field(
        None, description="The watches.yaml that maps kinds to charts. Unset: the release engine is off, the rest runs."
    )
    namespace: str | None = Field(
        DEFAULT_WORKING_NAMESPACE,
        description="The working namespace, whose Gateways may serve any project or the cluster. "
        'Empty: gateways live in their own projects, and cluster gateways in "kubesphere-controls-system".',
    )
    repository: str | None = Field(
        None, description="Image repository of every gateway; wins over what a Gateway says."
    )
    tag: str | None = Field(None, description="Image tag of every gateway; wins over what a Gateway says.")

    @field_validator("watches_path", "namespace", "repository", "tag", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @property
    def cluster_gateway_namespace(self) -> str:
        """The namespace in which cluster gateways live, also when `namespace` is unset."""
        return self.namespace or DEFAULT_WORKING_NAMESPACE


class OperatorSettings(BaseSettings):
    """What the operator process needs to know."""

    model_config = SettingsConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        env_prefix="GATEWAY_OPERATOR_",
        env_nested_delimiter="__",
    )

    gateway: GatewaySettings = Field(default_factory=lambda: GatewaySettings.model_validate({}))
    kubeconfig: Path | None = Field(
        None, description="Kubeconfig to use; unset: $KUBECONFIG, the pod's own, ~/.kube/config."
    )
    identity: str = Field(default_factory=lambda: default_identity(), description="Name of this replica in the lease.")  # noqa: PLW0108
    lease_namespace: str | None = Field(None, description="Namespace of the lease; unset: the pod's own, or `default`.")
    leader_elect: bool = Field(True, description="Wait for the lease before doing anything.")
    max_concurrent_reconciles: int = Field(4, ge=1, description="Helm processes at once, over all kinds.")
    reconcile_period: float = Field(
        60.0, ge=0, description="Seconds between two looks at an unchanged object; 0: none."
    )
    helm: str = Field("helm", description="The helm program, a name on PATH or a path.")
    helm_timeout: float = Field(300.0, gt=0, description="Seconds that one helm process may take.")
    history_max: int = Field(10, ge=2, description="Revisions that Helm keeps of each release.")
    watch_namespaces: tuple[str, ...] = Field((), description="Namespaces to watch; empty: all.")
    metrics_port: int = Field(8080, ge=0, le=65535, description="Port of /metrics.")
    health_port: int = Field(8081, ge=0, le=65535, description="Port of /healthz and /readyz.")
    adopt_crds: bool = Field(False, description="Use CRDs of our groups that somebody else installed.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error.")
    log_json: bool = Field(False, description="Log lines as JSON.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keep to two sources: what the caller passes (file and flags), and the environment."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings


def load_settings(file: Path | None, flags: dict[str, Any]) -> OperatorSettings:
    """Read `file` (YAML), let the environment and then `flags` win, and check the whole.

    `flags` is a nested dict of camelCase names; values of None say nothing. Raises ConfigError.
    """
    from_file = _read(file) if file else {}
    try:
        base = OperatorSettings.model_validate({})
        merged = _merge(_merge(from_file, base.model_dump(exclude_unset=True, by_alias=True)), flags)
        return OperatorSettings.model_validate(merged)
    except ValidationError as error:
        where = str(file) if file else "the settings"
        lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{where}: {lines}") from error


def default_identity() -> str:
    """Name this process so that no restart of the same pod takes the same name."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{os.urandom(4).hex()}"


def _read(file: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: can't be read as YAML: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{file}: must be a map with keys such as `gateway`, not {type(loaded).__name__}")
    return loaded


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        if value is None:
            continue
        old = result.get(key)
        result[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
