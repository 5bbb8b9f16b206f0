"""The command line of the ingress role, which takes upstream's flags so that charts and scripts go on working.

Flags are Go's: `--name=value`, `--name value`, and `--name` alone for booleans. A flag of upstream's that this
controller doesn't honour is kept and warned of; a flag that nobody knows is an error, since a typing mistake must not
go unseen.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway_operator.errors import ConfigError
from gateway_operator.names import short_name

DEFAULT_RUN_DIR = "/run/gateway"

UNHONOURED = frozenset(  # upstream's flags that mean nothing here, or not yet
    """annotations-prefix apiserver-host certificate-authority deep-inspect default-server-port
    disable-catch-all disable-full-test disable-svc-external-name disable-sync-events dynamic-configuration-retries
    enable-annotation-validation enable-ssl-chain-completion enable-topology-aware-routing
    exclude-socket-metrics internal-logger-address length-buckets maxmind-edition-ids maxmind-license-key maxmind-mirror
    maxmind-retries-count maxmind-retries-timeout metrics-per-host metrics-per-undefined-host monitor-max-batch-size
    post-shutdown-grace-period profiler-address profiler-port profiling reduce-metrics
    size-buckets skip_headers ssl-passthrough-proxy-port stream-port sync-period sync-rate-limit
    time-buckets watch-namespace-selector
    health-check-timeout report-status-classes status-update-interval
    logtostderr alsologtostderr stderrthreshold vmodule add_dir_header one_output
    log_backtrace_at log_file log_file_max_size skip_log_headers bucket-factor max-buckets""".split()  # noqa: SIM905
)
# These change what is served; going on without them would do something else than was asked.
REFUSED = frozenset({"watch-namespace-selector"})
RENDERERS = ("auto", "static", "dynamic")


@dataclass(frozen=True)
class IngressOptions:
    """Everything that the ingress role is told from outside: flags, and the pod's own name from the environment."""

    election_id: str = "ingress-controller-leader"
    controller_class: str = "k8s.io/ingress-nginx"
    ingress_class: str = "nginx"
    ingress_class_by_name: bool = False
    watch_ingress_without_class: bool = False
    watch_namespace: str = ""
    configmap: str = ""
    default_backend_service: str = ""
    default_ssl_certificate: str = ""
    publish_service: str = ""
    publish_status_address: str = ""
    report_node_internal_ip_address: bool = False
    update_status: bool = True
    update_status_on_shutdown: bool = True
    disable_leader_election: bool = False
    election_ttl: float = 30.0
    enable_metrics: bool = True
    enable_ssl_passthrough: bool = False
    tcp_services_configmap: str = ""
    udp_services_configmap: str = ""
    multi_cluster_configmap: str = ""
    renderer: str = "auto"  # dynamic where nginx has Lua
    refuse_known_holes: bool = False
    healthz_host: str = ""
    healthz_port: int = 10254
    health_check_path: str = "/healthz"
    http_port: int = 80
    https_port: int = 443
    status_port: int = 10246
    shutdown_grace_period: float = 0.0
    kubeconfig: str = ""
    validating_webhook: str = ""
    validating_webhook_certificate: str = ""
    validating_webhook_key: str = ""
    validating_webhook_secret: str = ""
    validating_webhook_configuration: str = ""
    v: int = 2
    # from the environment
    pod_name: str = "gateway"
    pod_namespace: str = "default"
    gateway_name: str = ""
    scope: str = ""
    run_dir: Path = Path(DEFAULT_RUN_DIR)
    ignored: tuple[str, ...] = field(default=())

    @property
    def field_manager(self) -> str:
        """The name under which this gateway owns fields of Ingress statuses (128 characters are allowed)."""
        gateway = short_name(self.gateway_name or self.election_id, 40)
        return f"gateway-ingress.{self.scope}.{self.pod_namespace}.{gateway}"


def parse_flags(argv: Sequence[str], env: Mapping[str, str] | None = None) -> IngressOptions:
    """Read upstream-style flags and the pod's environment; ConfigError names the flag that is wrong."""
    env = os.environ if env is None else env
    converters = _converters()
    values: dict[str, Any] = {}
    ignored: list[str] = []
    rest = list(argv)
    while rest:
        name, text = _next_flag(rest, converters)
        if name in REFUSED and text != "false" and text:
            raise ConfigError(f"--{name} is not supported by this controller; remove it (its own value is {text!r})")
        if name in UNHONOURED:
            ignored.append(name)
            continue
        try:
            values[name.replace("-", "_")] = converters[name](text)
        except ValueError as error:
            raise ConfigError(f"--{name}: {error}") from error
    values["renderer"] = _renderer(values.get("renderer") or env.get("GATEWAY_RENDERER") or "auto")
    return IngressOptions(**values, **_from_environment(env, values), ignored=tuple(sorted(set(ignored))))


def _next_flag(rest: list[str], converters: Mapping[str, Callable[[str], Any]]) -> tuple[str, str]:
    """Take one flag and its value off the list."""
    word = rest.pop(0)
    match = re.fullmatch(r"--?([A-Za-z][\w-]*)(?:=(.*))?", word, re.DOTALL)
    if match is None:
        raise ConfigError(f"{word!r} is no flag; flags are written --name=value")
    name, text = match[1], match[2]
    if name not in converters and name not in UNHONOURED:
        raise ConfigError(f"--{name} is no flag that this controller or ingress-nginx knows; see docs/spec/ingress.md")
    if text is not None:
        return name, text
    is_switch = converters[name] is _boolean if name in converters else (not rest or rest[0].startswith("-"))
    if is_switch:
        return name, "true"
    if not rest:
        raise ConfigError(f"--{name} needs a value: --{name}=...")
    return name, rest.pop(0)


def _from_environment(env: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    scope = env.get("GATEWAY_SCOPE") or ("project" if values.get("watch_namespace") else "cluster")
    if scope not in {"cluster", "project"}:
        raise ConfigError(f'GATEWAY_SCOPE must be "cluster" or "project", not {scope!r}')
    return {
        "pod_name": env.get("POD_NAME") or "gateway",
        "pod_namespace": env.get("POD_NAMESPACE") or "default",
        "gateway_name": env.get("GATEWAY_NAME", ""),
        "scope": scope,
        "run_dir": Path(env.get("GATEWAY_RUN_DIR") or DEFAULT_RUN_DIR),
    }


def _converters() -> dict[str, Callable[[str], Any]]:
    kinds: dict[str, Callable[[str], Any]] = {"bool": _boolean, "int": _integer, "float": _duration, "str": str}
    special = {"configmap", "default_backend_service", "default_ssl_certificate", "publish_service"}
    special |= {"tcp_services_configmap", "udp_services_configmap", "multi_cluster_configmap"}
    from_environment = {"pod_name", "pod_namespace", "gateway_name", "scope", "run_dir", "ignored"}
    return {
        item.name.replace("_", "-"): _reference if item.name in special else kinds[str(item.type)]
        for item in dataclasses.fields(IngressOptions)
        if item.name not in from_environment
    }


def _boolean(text: str) -> bool:
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise ValueError(f"must be true or false, not {text!r}")


def _integer(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
        raise ValueError(f"must be a whole number, not {text!r}")
    return int(text)


def _duration(text: str) -> float:
    """Read Go's durations (`30s`, `1m30s`, `500ms`); a bare number means seconds."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"must be a duration such as 30s or 1m30s, not {text!r}")
    return sum(float(number) * units[unit] for number, unit in parts)


def _renderer(text: str) -> str:
    if text not in RENDERERS:
        raise ConfigError(f"--renderer (GATEWAY_RENDERER) must be one of {', '.join(RENDERERS)}, not {text!r}")
    return text


def _reference(text: str) -> str:
    if text and not re.fullmatch(r"[a-z0-9-]{1,63}/[a-z0-9.-]{1,253}", text):
        raise ValueError(f"must be namespace/name, not {text!r}")
    return text
