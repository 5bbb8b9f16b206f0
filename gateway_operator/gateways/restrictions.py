"""What a Gateway may not say on its own account, whatever other Gateways there are.

Who may write a Gateway in a project is not an administrator: such a Gateway must not reach another namespace, and its
`spec.values` must not reach what gives rights. The list is of what is allowed, so that a value that a chart gains
later is refused until judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway_operator.crds.conditions import Reason
from gateway_operator.crds.config_keys import KEYS, ConfigProblem, parse_config
from gateway_operator.gateways.claims import PROJECT, Claim, mapping
from gateway_operator.gateways.verdicts import Notice, Refusal
from gateway_operator.settings import GatewaySettings

Object = Mapping[str, Any]
OWN_IMAGE = "gateway-operator"
SHOWN = 10


def _paths(prefix: str, names: str) -> set[tuple[str, ...]]:
    return {(*prefix.split("."), *name.split(".")) if prefix else tuple(name.split(".")) for name in names.split()}


_SERVICE = """annotations labels ports targetPorts nodePorts appProtocol type clusterIP
    clusterIPs loadBalancerIP loadBalancerClass loadBalancerSourceRanges allocateLoadBalancerNodePorts
    externalTrafficPolicy internalTrafficPolicy trafficDistribution healthCheckNodePort sessionAffinity
    sessionAffinityConfig ipFamilies ipFamilyPolicy"""
_CONTROLLER = """kind replicaCount resources nodeSelector tolerations affinity topologySpreadConstraints podAnnotations
    podLabels labels annotations config minAvailable maxUnavailable terminationGracePeriodSeconds updateStrategy
    minReadySeconds progressDeadlineSeconds autoscaling containerPort.http containerPort.https electionTTL
    publishService.enabled"""
_METRICS = """enabled portName service.enabled service.annotations service.labels service.servicePort service.type
    serviceMonitor.enabled serviceMonitor.additionalLabels serviceMonitor.annotations serviceMonitor.scrapeInterval
    serviceMonitor.scrapeTimeout serviceMonitor.honorLabels serviceMonitor.targetLabels prometheusRule.enabled
    prometheusRule.additionalLabels prometheusRule.annotations"""
ALLOWED_VALUES: frozenset[tuple[str, ...]] = frozenset(
    _paths("", "commonLabels revisionHistoryLimit portNamePrefix")
    | _paths("controller", _CONTROLLER)
    | _paths("controller.service", f"enabled external.enabled external.labels enableHttp enableHttps {_SERVICE}")
    | _paths("controller.service.internal", f"enabled {_SERVICE}")
    | _paths("controller.metrics", _METRICS)
)
_SERVICE_TYPES = frozenset({"LoadBalancer", "NodePort", "ClusterIP"})


def is_trusted(claim: Claim, settings: GatewaySettings) -> bool:
    """Tell whether a Gateway lives in the working namespace, where only administrators write."""
    return claim.namespace == settings.cluster_gateway_namespace


def own_refusal(gateway: Object, claim: Claim, settings: GatewaySettings) -> Refusal | None:
    """Say what is wrong with a Gateway by itself, or None."""
    trusted = is_trusted(claim, settings)
    refusal = None if trusted else _foreign_scope(claim, settings) or _forbidden_values(gateway)
    return (
        refusal
        or _foreign_targets(gateway, claim)
        or config_refusal(nginx_config(gateway), strict=not trusted or runs_own_image(gateway, settings))
    )


def tenant_refusal(gateway: Object) -> Refusal | None:
    """Say what somebody who manages a project only may not put into its gateway, wherever the object lies."""
    return _forbidden_values(gateway) or config_refusal(nginx_config(gateway))


def config_refusal(config: Mapping[str, Any], *, strict: bool = True) -> Refusal | None:
    """Refuse config values that nginx would refuse; another image (not strict) reads them by its own rules."""
    fatal = [problem for problem in config_problems(config) if problem.fatal] if strict else []
    if not fatal:
        return None
    return Refusal(
        Reason.CONFIG_INVALID, "spec.controller.config: " + "; ".join(problem.message for problem in fatal[:SHOWN])
    )


def config_notices(config: Mapping[str, Any]) -> tuple[Notice, ...]:
    """Return a remark for each config key that has no effect."""
    return tuple(
        Notice(
            Reason.CONFIG_KEY_IGNORED if problem.key in KEYS else Reason.UNKNOWN_CONFIG_KEY,
            f"spec.controller.config: {problem.message}",
        )
        for problem in config_problems(config)
        if not problem.fatal
    )


def config_problems(config: Mapping[str, Any]) -> list[ConfigProblem]:
    """Check a config; values that chart users write as numbers or booleans count as their text."""
    texts = {
        str(key): value if isinstance(value, str) else _text(value)
        for key, value in config.items()
        if value is not None
    }
    return parse_config(texts)[1]


def nginx_config(gateway: Object) -> dict[str, Any]:
    """Return the ConfigMap's data that a Gateway asks for, in both places."""
    spec = mapping(gateway, "spec")
    return {**mapping(spec, "controller", "config"), **mapping(spec, "values", "controller", "config")}


def runs_own_image(gateway: Object, settings: GatewaySettings) -> bool:
    """Tell whether the gateway's pods run our image, as the chart decides it."""
    controller = mapping(gateway, "spec", "values", "controller")
    return is_native(controller, settings)


def is_native(controller: Mapping[str, Any], settings: GatewaySettings) -> bool:
    """Tell whether these controller values run our image; the chart has the same rule (`controller.dataPlane`)."""
    chosen = controller.get("dataPlane")
    if chosen in {"native", "upstream"}:
        return bool(chosen == "native")
    image = mapping(controller, "image")
    name = settings.repository or image.get("repository") or image.get("image") or OWN_IMAGE
    return OWN_IMAGE in str(name).rpartition("/")[2]


def forbidden_paths(values: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[str]:
    """Name the values that a Gateway outside the working namespace may not set."""
    for key, value in values.items():
        path = (*before, str(key))
        if path in ALLOWED_VALUES:
            if path[-1] == "type" and value not in _SERVICE_TYPES:
                yield ".".join(path)
        elif isinstance(value, Mapping) and any(allowed[: len(path)] == path for allowed in ALLOWED_VALUES):
            yield from forbidden_paths(value, path)
        else:
            yield ".".join(path)


def _foreign_scope(claim: Claim, settings: GatewaySettings) -> Refusal | None:
    if claim.project == claim.namespace:
        return None
    wanted = f'project "{claim.project}"' if claim.scope == PROJECT else "the whole cluster"
    return Refusal(
        Reason.SCOPE_FORBIDDEN,
        f'a Gateway in namespace "{claim.namespace}" may not serve {wanted}: set spec.controller.scope.enabled to '
        f'true and leave its namespace empty, or create it in "{settings.cluster_gateway_namespace}" '
        "(`gateway-operator move` brings one there that runs already)",
    )


def _forbidden_values(gateway: Object) -> Refusal | None:
    paths = sorted(forbidden_paths(mapping(gateway, "spec", "values")))
    if not paths:
        return None
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return Refusal(
        Reason.VALUES_FORBIDDEN,
        f"spec.values may not set {', '.join(paths[:SHOWN])}{more} outside the working namespace; remove them, or "
        "ask an administrator "
        "to create the Gateway there",
    )


def _foreign_targets(gateway: Object, claim: Claim) -> Refusal | None:
    if claim.scope != PROJECT:
        return None
    spec = mapping(gateway, "spec")
    sources = {
        "spec.controller.tcp": mapping(spec, "controller", "tcp"),
        "spec.controller.udp": mapping(spec, "controller", "udp"),
        "spec.values.tcp": mapping(spec, "values", "tcp"),
        "spec.values.udp": mapping(spec, "values", "udp"),
    }
    for source, ports in sources.items():
        for port, target in sorted(ports.items()):
            if str(target).partition("/")[0] != claim.project:
                text = (
                    f'{source}["{port}"]: a project gateway may only target services of its own project '
                    f'"{claim.project}", not {target}'
                )
                return Refusal(Reason.TARGET_FORBIDDEN, text)
    return None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
