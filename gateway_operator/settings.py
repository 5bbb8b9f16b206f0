"""One typed tree of settings, built once and handed down.

The section `gateway` keeps the names that KubeSphere's users know (`watchesPath namespace repository tag`), so that
their file can be used as it is. Flags win over environment variables (`GATEWAY_OPERATOR_...`), which win over the file.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway_operator.errors import ConfigError

DEFAULT_WORKING_NAMESPACE = "kubesphere-controls-system"
_LAST_PORT = 65535
_Settings = TypeVar("_Settings", bound=BaseSettings)
_WAVE = re.compile(r"[1-9]\d*|([1-9]\d?|100)%")


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


class ClustersSettings(BaseModel):
    """The section `clusters`: splitting traffic over several clusters."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    enabled: bool = Field(True, description="Serve ClusterTrafficPolicies, where the cluster has their CRDs.")
    region: str = Field("", description="Region in which this cluster's gateways stand, for `locality: LocalFirst`.")
    zone: str = Field("", description="Zone of the region in which this cluster's gateways stand.")


class ProcessSettings(BaseSettings):
    """What the processes of all roles need to know, and where settings come from."""

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
    metrics_bind_address: str = Field(":8080", description="Where /metrics listens; empty or port 0: nowhere.")
    health_probe_bind_address: str = Field(
        ":8081", description="Where /healthz and /readyz listen; empty or port 0: nowhere."
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error.")
    log_json: bool = Field(False, description="Log lines as JSON.")

    @field_validator("metrics_bind_address", "health_probe_bind_address")
    @classmethod
    def _can_be_bound(cls, value: str) -> str:
        parse_address(value)
        return value

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


class OperatorSettings(ProcessSettings):
    """What the operator process needs to know."""

    clusters: ClustersSettings = Field(default_factory=lambda: ClustersSettings.model_validate({}))
    identity: str = Field(default_factory=lambda: default_identity(), description="Name of this replica in the lease.")  # noqa: PLW0108
    lease_name: str = Field("gateway-operator", description="Name of the lease; operators of one name take turns.")
    lease_namespace: str | None = Field(None, description="Namespace of the lease; unset: the pod's own, or `default`.")
    deployment: str | None = Field(
        None, description="Name of the operator's own Deployment; when that is gone at the end, objects are let go."
    )
    leader_elect: bool = Field(True, description="Wait for the lease before doing anything.")
    max_concurrent_reconciles: int = Field(4, ge=1, description="Helm processes at once, over all kinds.")
    reconcile_period: float = Field(
        60.0, ge=0, description="Seconds between two looks at an unchanged object; 0: none."
    )
    helm: str = Field("helm", description="The helm program, a name on PATH or a path.")
    helm_timeout: float = Field(300.0, gt=0, description="Seconds that one helm process may take.")
    history_max: int = Field(10, ge=2, description="Revisions that Helm keeps of each release.")
    watch_namespaces: tuple[str, ...] = Field((), description="Namespaces to watch; empty: all.")
    suppress_override_values: bool = Field(False, description="Events about overrideValues show **** for the values.")
    rollout_waves: tuple[str, ...] = Field(
        ("1", "10%", "50%"),
        description="How many objects of a row get a changed chart at a time; the last number holds until all have it.",
    )
    adopt_crds: bool = Field(False, description="Use CRDs of our groups that somebody else installed.")

    @field_validator("rollout_waves")
    @classmethod
    def _are_waves(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(_WAVE.fullmatch(wave) for wave in value):
            raise ValueError("must be numbers from 1 on or percentages from 1% to 100%, as 1,10%,50%")
        return value


def load_settings(file: Path | None, flags: dict[str, Any]) -> OperatorSettings:
    """Read `file` (YAML), let the environment and then `flags` win, and check the whole.

    `flags` is a nested dict of camelCase names; values of None say nothing. Raises ConfigError.
    """
    return build_settings(OperatorSettings, read_yaml(file) if file else {}, flags, str(file or "the settings"))


def build_settings(kind: type[_Settings], from_file: dict[str, Any], flags: dict[str, Any], where: str) -> _Settings:
    """Build a role's settings from a file's content, the environment and flags, the later winning.

    Raises ConfigError, whose text begins with `where`.
    """
    try:
        base = kind.model_validate({})
        return kind.model_validate(_merge(_merge(from_file, _from_environment(base)), flags))
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{where}: {lines}") from error


def _from_environment(base: BaseSettings) -> dict[str, Any]:
    """Return what the environment sets; WATCH_NAMESPACE is what other Helm operators call `watchNamespaces`."""
    found = base.model_dump(exclude_unset=True, by_alias=True)
    names = os.environ.get("WATCH_NAMESPACE")
    if names is not None and "watch_namespaces" in type(base).model_fields:
        found.setdefault("watchNamespaces", [n.strip() for n in names.split(",") if n.strip()])
    return found


def parse_address(text: str) -> tuple[str | None, int] | None:
    """Return host (None: every interface) and port of `host:port`, `:port` or `[v6]:port`; None means off.

    Raises ValueError.
    """
    if text in {"", "0"}:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > _LAST_PORT:
        raise ValueError(f"{text!r} is no address: write :8080 or 127.0.0.1:8080, or leave it empty to turn it off")
    return (host.removeprefix("[").removesuffix("]") or None, int(port)) if int(port) else None


def default_identity() -> str:
    """Name this process so that no restart of the same pod takes the same name."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{os.urandom(4).hex()}"


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the map that a YAML file holds. Raises ConfigError."""
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
        # also where there was nothing before: a section of flags has many that say nothing
        result[key] = _merge(old if isinstance(old, dict) else {}, value) if isinstance(value, dict) else value
    return result
