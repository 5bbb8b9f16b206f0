"""What a Gateway may not say outside the working namespace, and which config nginx would refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway_objects import SETTINGS, WORKING, gateway, project
from gateway_operator.gateways.restrictions import ALLOWED_VALUES, forbidden_paths, is_native
from gateway_operator.gateways.scopes import verdict
from gateway_operator.settings import GatewaySettings

CHART_VALUES = Path(__file__).resolve().parents[3] / "charts" / "ingress-nginx" / "values.yaml"

FORBIDDEN = [
    "controller.image.repository",
    "controller.image",
    "controller.extraArgs.http-port",
    "controller.extraEnvs",
    "controller.extraContainers",
    "controller.extraInitContainers",
    "controller.extraVolumes",
    "controller.extraVolumeMounts",
    "controller.extraModules",
    "controller.hostNetwork",
    "controller.hostPort.enabled",
    "controller.hostAliases",
    "controller.dnsConfig",
    "controller.scope.enabled",
    "controller.scope",
    "controller.ingressClass",
    "controller.ingressClassResource.enabled",
    "controller.ingressClassByName",
    "controller.watchIngressWithoutClass",
    "controller.electionID",
    "controller.podSecurityContext",
    "controller.containerSecurityContext",
    "controller.sysctls",
    "controller.lifecycle",
    "controller.livenessProbe",
    "controller.readinessProbe",
    "controller.service.externalIPs",
    "controller.service.internal.externalIPs",
    "controller.metrics.service.externalIPs",
    "controller.metrics.serviceMonitor.namespace",
    "controller.metrics.serviceMonitor.relabelings",
    "controller.metrics.prometheusRule.rules",
    "controller.admissionWebhooks.enabled",
    "controller.customTemplate.configMapName",
    "controller.publishService.pathOverride",
    "controller.configMapNamespace",
    "controller.tcp.configMapNamespace",
    "controller.expandTemplates",
    "controller.dataPlane",
    "controller.statusExcludedNamespaces",
    "controller.allowSnippetAnnotations",
    "controller.priorityClassName",
    "controller.runtimeClassName",
    "controller.shareProcessNamespace",
    "controller.keda.enabled",
    "controller.autoscalingTemplate",
    "controller.nosuchvalue",
    "defaultBackend.enabled",
    "global.image.registry",
    "imagePullSecrets",
    "fullnameOverride",
    "namespaceOverride",
    "rbac.create",
    "rbac.scope",
    "serviceAccount.name",
    "tcp.8080",
    "nosuchvalue",
]


def nested(path, value):
    """Make a values document of one path."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize("path", FORBIDDEN)
def test_values_that_give_rights_are_refused_by_name(path):
    """The message names the path, or all that it lies in; in the working namespace the same value is taken."""
    spec = {"values": nested(path, "x")}
    obj = project("p", "team", spec)
    refusal = verdict(obj, [obj], SETTINGS, installed=False)
    assert refusal is not None
    assert refusal.reason == "ValuesForbidden"
    named = refusal.message.removeprefix("spec.values may not set ").split()[0]
    assert path == named or path.startswith(f"{named}.")
    trusted = project("p", WORKING, spec)
    served = verdict(trusted, [trusted], SETTINGS, installed=False)
    assert served is None or served.reason != "ValuesForbidden"


@pytest.mark.parametrize("path", sorted(".".join(p) for p in ALLOWED_VALUES))
def test_values_that_give_no_rights_are_taken(path):
    """Every path of the list can be set."""
    value = "NodePort" if path.endswith(".type") else "1"
    assert list(forbidden_paths(nested(path, value))) == []


def test_the_list_names_values_that_the_chart_has():
    """A typing mistake in the list would forbid what it means to allow."""
    values = yaml.safe_load(CHART_VALUES.read_text(encoding="utf-8"))
    unset = {"allocateLoadBalancerNodePorts", "healthCheckNodePort"}
    for path in ALLOWED_VALUES:
        at = values
        for step in path[:-1]:
            at = at[step]
        assert path[-1] in at or path[-1] in unset, path


def test_a_parent_that_is_no_map_is_refused():
    """A list or a text where a map should be can't be looked into."""
    assert list(forbidden_paths({"controller": ["x"]})) == ["controller"]
    assert list(forbidden_paths({"controller": None})) == ["controller"]
    assert list(forbidden_paths({"controller": {"service": {"type": "ExternalName"}}})) == ["controller.service.type"]


def test_many_paths_are_counted():
    """A long list is cut, and says how long it is."""
    obj = project("p", "team", {"values": {f"x{n:02d}": 1 for n in range(15)}})
    refusal = verdict(obj, [obj], SETTINGS, installed=False)
    assert refusal is not None
    assert "x09 and 5 more" in refusal.message


@pytest.mark.parametrize("field", ["tcp", "udp"])
@pytest.mark.parametrize("namespace", ["team", WORKING])
def test_a_project_gateway_targets_only_its_project(field, namespace):
    """Also one in the working namespace, since its Role reads nothing else."""
    spec = {"controller": {"scope": {"enabled": True, "namespace": "team"}, field: {"53": "kube-system/kube-dns:53"}}}
    obj = gateway("p", namespace, spec)
    refusal = verdict(obj, [obj], SETTINGS, installed=False)
    assert refusal is not None
    assert refusal.reason == "TargetForbidden"
    assert f'spec.controller.{field}["53"]' in refusal.message
    spec["controller"][field] = {"53": "team/dns:53"}
    assert verdict(obj, [obj], SETTINGS, installed=False) is None


def test_a_cluster_gateway_targets_any_namespace():
    """It serves all of them."""
    obj = gateway("g", spec={"controller": {"tcp": {"53": "kube-system/kube-dns:53"}}})
    assert verdict(obj, [obj], SETTINGS, installed=False) is None


@pytest.mark.parametrize(
    "spec",
    [{"controller": {"config": {"keep-alive": "x;"}}}, {"values": {"controller": {"config": {"keep-alive": "x;"}}}}],
)
def test_config_that_nginx_would_refuse_refuses_the_gateway(spec):
    """In both places where config can be written; the message names the key and what is allowed."""
    obj = gateway("g", spec=spec)
    refusal = verdict(obj, [obj], SETTINGS, installed=False)
    assert refusal is not None
    assert refusal.reason == "ConfigInvalid"
    assert "keep-alive: must be a time" in refusal.message


def test_numbers_and_booleans_in_values_count_as_texts():
    """Users of the chart write `use-gzip: true`."""
    obj = gateway("g", spec={"values": {"controller": {"config": {"use-gzip": True, "keep-alive": 75, "gone": None}}}})
    assert verdict(obj, [obj], SETTINGS, installed=False) is None


def test_another_image_reads_its_config_itself_but_not_for_projects():
    """An administrator who chose upstream's image may use its snippets; a project may not."""
    upstream = GatewaySettings.model_validate({"repository": "registry.example/ingress-nginx/controller"})
    spec = {"controller": {"config": {"http-snippet": "x"}}}
    trusted, foreign = gateway("g", spec=spec), project("p", "team", spec)
    assert verdict(trusted, [trusted], upstream, installed=False) is None
    refusal = verdict(foreign, [foreign], upstream, installed=False)
    assert refusal is not None
    assert refusal.reason == "ConfigInvalid"


@pytest.mark.parametrize(
    ("controller", "repository", "native"),
    [
        ({}, None, True),
        ({"image": {"repository": "r.example/x/controller"}}, None, False),
        ({"image": {"image": "ingress-nginx/controller"}}, None, False),
        ({"image": {"repository": "r.example/gateway-operator/controller"}}, None, False),
        ({"image": {"repository": "r.example/x/controller"}}, "r.example:5000/my-gateway-operator", True),
        ({"dataPlane": "native"}, "x/controller", True),
        ({"dataPlane": "upstream"}, None, False),
    ],
)
def test_the_data_plane_follows_the_image(controller, repository, native):
    """The same rule as in the chart: the last part of the image's name decides, unless dataPlane does."""
    assert is_native(controller, GatewaySettings.model_validate({"repository": repository})) is native
