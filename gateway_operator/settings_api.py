"""What the API's process needs to know: where it listens, whom it believes, and where logs and metrics are.

The section `gateway` is the operator's own (`--gateway-config` names its file), because both must agree on where
gateways live and what is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from gateway_operator.settings import ProcessSettings, build_settings, parse_address, read_yaml

_FIELD = r"^[A-Za-z0-9_@][-A-Za-z0-9_@.]*$"


class Section(BaseModel):
    """Base of the sections: camelCase in the file, unknown keys refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class TlsSettings(Section):
    """Certificate of the server and the authority of its clients; all files are read again when they change."""

    cert_file: Path | None = Field(None, description="Certificate chain as PEM; unset: plain HTTP.")
    key_file: Path | None = Field(None, description="Its private key as PEM.")
    client_ca_file: Path | None = Field(
        None,
        description="Authority of client certificates; unset: the cluster's, from ConfigMap "
        "kube-system/extension-apiserver-authentication. Client certificates count only with TLS.",
    )
    client_certificates: bool = Field(True, description="Take client certificates beside tokens.")


class LimitSettings(Section):
    """What one client may ask for."""

    requests_per_second: float = Field(50.0, gt=0, description="Requests of one user a second, in the long run.")
    burst: int = Field(200, ge=1, description="Requests of one user at once.")
    body_bytes: int = Field(1_048_576, ge=1024, description="Size of a request's body.")
    streams_per_subject: int = Field(50, ge=1, description="Log and event streams of one user at once.")


class AccessSettings(Section):
    """How long answers of the API server about a user are believed, in seconds."""

    token_seconds: float = Field(10.0, ge=0, le=300, description="Who a token is.")
    allowed_seconds: float = Field(10.0, ge=0, le=300, description="That a user may do something.")
    denied_seconds: float = Field(5.0, ge=0, le=300, description="That a user may not, or a token is nobody's.")
    entries: int = Field(4096, ge=16, description="Answers that are remembered.")
    audiences: tuple[str, ...] = Field((), description="Audiences that a token must be for; empty: the API server's.")


class ServerSettings(Section):
    """The section `api`: the server and who may ask it."""

    listen: str = Field(":9443", description="Where the API listens.")
    tls: TlsSettings = Field(default_factory=lambda: TlsSettings.model_validate({}))
    limits: LimitSettings = Field(default_factory=lambda: LimitSettings.model_validate({}))
    access: AccessSettings = Field(default_factory=lambda: AccessSettings.model_validate({}))
    watches_file: Path | None = Field(
        None, description="The operator's watches.yaml, for manifests in plans; unset: the image's."
    )
    providers_file: Path | None = Field(
        None, description="The catalogue of providers as YAML; read again when it changes. Unset: none."
    )
    helm: str = Field("helm", description="The helm program, for manifests in plans.")

    @field_validator("listen")
    @classmethod
    def _can_be_bound(cls, value: str) -> str:
        if parse_address(value) is None:
            raise ValueError("must be an address, as :9443")
        return value


class LogFieldSettings(Section):
    """How fields are called in the index; `namespace`, `pod` and `container` must not be analysed."""

    time: str = Field("time", pattern=_FIELD, description="When a line was written.")
    log: str = Field("log", pattern=_FIELD, description="The line itself, analysed as text.")
    namespace: str = Field("kubernetes.namespace_name.keyword", pattern=_FIELD, description="The pod's namespace.")
    pod: str = Field("kubernetes.pod_name.keyword", pattern=_FIELD, description="The pod's name.")
    container: str = Field("kubernetes.container_name.keyword", pattern=_FIELD, description="The container's name.")
    instance: str = Field("kubernetes.docker_id.keyword", pattern=_FIELD, description="The container's id.")


class ElasticsearchSettings(Section):
    """Where the gateways' logs are: Elasticsearch 8 or 9."""

    urls: tuple[Annotated[str, Field(pattern=r"^https?://[^\s?#@]+$")], ...] = Field(
        ..., min_length=1, description="Base URLs of its nodes, as https://elasticsearch:9200."
    )
    ca_file: Path | None = Field(None, description="Authorities of its certificate as PEM; unset: the system's.")
    username: str = Field("", description="User for basic authentication.")
    password_file: Path | None = Field(None, description="File with that user's password.")
    api_key_file: Path | None = Field(None, description="File with an API key (encoded), instead of user and password.")
    timeout: float = Field(10.0, gt=0, le=120, description="Seconds that one question may take.")
    retries: int = Field(1, ge=0, le=5, description="How often a question is asked again when a node can't be reached.")
    connections: int = Field(8, ge=1, le=64, description="Questions at once to one node.")
    index: str = Field(
        "ks-logstash-log-*", pattern=r"^[a-z0-9][-a-z0-9_.*]*(,[a-z0-9][-a-z0-9_.*]*)*$", description="Index pattern."
    )
    fields: LogFieldSettings = Field(
        default_factory=lambda: LogFieldSettings.model_validate({}), description="Names of fields in the index."
    )
    parsed_fields: dict[str, Annotated[str, Field(pattern=_FIELD)]] = Field(
        default_factory=dict,
        description="Fields in which a pipeline of yours stores parts of access lines, not analysed: status, method, "
        "host, path, latency, upstream, cluster, namespace. Without them lines are parsed when they are read.",
    )
    log_formats: tuple[str, ...] = Field(
        (),
        description="Further log formats of gateways, as in log-format-upstream; JSON lines and the usual format need "
        "no word.",
    )
    standard_analysis: bool = Field(
        True, description="The log's text is analysed by Elasticsearch's standard analyzer, so words of it narrow."
    )
    scan_lines: int = Field(
        200_000, ge=1000, le=10_000_000, description="Lines that one question may read to filter or count them."
    )
    scan_seconds: float = Field(25.0, gt=0, le=600, description="Seconds that such a reading may take.")


class PrometheusSettings(Section):
    """Where the gateways' metrics are: Prometheus, or what has its query API."""

    url: str = Field(..., pattern=r"^https?://[^\s?#@]+$", description="Base URL, as https://prometheus:9090.")
    ca_file: Path | None = Field(None, description="Authorities of its certificate as PEM; unset: the system's.")
    bearer_token_file: Path | None = Field(None, description="File with a token; read again for each question.")
    username: str = Field("", description="User for basic authentication.")
    password_file: Path | None = Field(None, description="File with that user's password.")
    timeout: float = Field(10.0, gt=0, le=120, description="Seconds that one question may take, waiting included.")
    connections: int = Field(8, ge=1, le=64, description="Questions at once.")
    answer_bytes: int = Field(33_554_432, ge=65536, description="Size of one answer.")
    scrape_interval: int = Field(30, ge=1, le=3600, description="Seconds between two scrapes of a gateway.")
    namespace_label: Literal["auto", "exported_namespace", "namespace"] = Field(
        "auto",
        description="Label with an Ingress's namespace: exported_namespace, or namespace where scrapes honour labels; "
        "auto: what the series have.",
    )


class ObservabilitySettings(Section):
    """The section `observability`; a part that is unset answers 503 and says so."""

    elasticsearch: ElasticsearchSettings | None = Field(None, description="Where logs are; unset: no logs.")
    prometheus: PrometheusSettings | None = Field(None, description="Where metrics are; unset: no metrics.")


class ApiSettings(ProcessSettings):
    """What the API's process needs to know."""

    api: ServerSettings = Field(default_factory=lambda: ServerSettings.model_validate({}))
    observability: ObservabilitySettings = Field(default_factory=lambda: ObservabilitySettings.model_validate({}))


def load_api_settings(file: Path | None, gateway_file: Path | None, flags: dict[str, Any]) -> ApiSettings:
    """Read `file`, and the section `gateway` of the operator's `gateway_file` where `file` has none of its own.

    The environment and then `flags` (camelCase names, None says nothing) win. Raises ConfigError.
    """
    content = read_yaml(file) if file else {}
    if gateway_file and "gateway" not in content:
        content = {**content, "gateway": read_yaml(gateway_file).get("gateway") or {}}
    return build_settings(ApiSettings, content, flags, str(file or "the settings"))
