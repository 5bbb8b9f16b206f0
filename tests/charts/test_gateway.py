"""charts/gateway: a Gateway's fields become the values of ingress-nginx, through both charts and both Helms."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gateway_operator.releases.gateways import GatewayKind
from gateway_operator.settings import GatewaySettings
from helm_runner import CHARTS

SAMPLE = CHARTS.parent / "docs" / "samples" / "gateway.yaml"
WORKING = "kubesphere-controls-system"


def gateway(name, namespace, spec):
    """Make a Gateway as the API server gives it."""
    meta = {"name": name, "namespace": namespace, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"apiVersion": "gateway.kubesphere.io/v1alpha1", "kind": "Gateway", "metadata": meta, "spec": spec}


def through(helm, obj, settings=None):
    """Send a Gateway through both charts as the operator does; return the Nginx and what comes of it."""
    found = GatewaySettings.model_validate(settings or {})
    plan = GatewayKind().plan(obj, [obj], found, installed=False)
    assert plan.refusal is None
    namespace = obj["metadata"]["namespace"]
    nginx = helm.render("gateway", plan.values, name=plan.release_name, namespace=namespace).one("Nginx")
    name = nginx["metadata"]["name"]
    return nginx, helm.render("ingress-nginx", nginx["spec"], name=name, namespace=namespace)


def test_the_sample(each_helm):
    """Seed 002's sample: KubeSphere's names, a load balancer with its annotation, a cluster-wide role."""
    obj = yaml.safe_load(SAMPLE.read_text(encoding="utf-8"))
    obj["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    nginx, rendered = through(each_helm, obj)
    name = "kubesphere-router-proj1"
    assert (nginx["metadata"]["name"], nginx["metadata"]["namespace"]) == (f"{name}-ingress", WORKING)
    assert {
        ("Deployment", name),
        ("Service", name),
        ("ConfigMap", name),
        ("Service", f"{name}-metrics"),
    } <= rendered.names()
    service = rendered.one("Service", name)
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["metadata"]["annotations"] == {
        "service.beta.kubernetes.io/qingcloud-load-balancer-eip-ids": "test-ip-id"
    }
    deployment = rendered.one("Deployment")
    assert deployment["metadata"]["annotations"] == {"servicemesh.kubesphere.io/enabled": "false"}
    template = deployment["spec"]["template"]
    assert template["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false"}
    labels = deployment["spec"]["selector"]["matchLabels"]
    assert labels["app.kubernetes.io/name"] == "ingress-nginx"
    assert labels["app.kubernetes.io/instance"] == f"{name}-ingress"
    flags = template["spec"]["containers"][0]["args"]
    assert f"--controller-class=gateway.kubesphere.io/{WORKING}.{name}" in flags
    assert f"--election-id=ingress-controller-leader-{name}" in flags
    assert "--watch-ingress-without-class=true" in flags
    assert f"--publish-service=$(POD_NAMESPACE)/{name}" in flags
    assert rendered.one("ConfigMap")["data"] == {"max-bucket": "1m"}
    assert rendered.one("IngressClass")["spec"]["controller"] == f"gateway.kubesphere.io/{WORKING}.{name}"
    assert "ClusterRole" in rendered.kinds()
    affinity = template["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0]
    assert affinity["podAffinityTerm"]["labelSelector"]["matchLabels"] == labels


def test_a_project_gateway(each_helm):
    """Namespaced Roles, the class by its name, and no object outside two namespaces."""
    scope = {"enabled": True, "namespace": "team"}
    _, rendered = through(
        each_helm, gateway("router", WORKING, {"controller": {"scope": scope}, "service": {"type": "NodePort"}})
    )
    assert not {"ClusterRole", "ClusterRoleBinding", "IngressClass"} & rendered.kinds()
    assert {o["metadata"]["namespace"] for o in rendered.objects} == {WORKING, "team"}
    flags = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {"--watch-namespace=team", "--ingress-class-by-name=true"} <= set(flags)
    assert not [flag for flag in flags if flag.startswith("--publish-service")]


def test_every_field_lands_where_kubesphere_put_it(helm):
    """The table of KubeSphere's mapping, field by field."""
    spec: dict[str, Any] = {
        "controller": {
            "replicas": 5,
            "annotations": {"a": "b"},
            "config": {"keep-alive": "5"},
            "tcp": {"8080": "a/b:1:PROXY"},
            "udp": {"53": "a/c:2"},
        },
        "service": {"type": "NodePort", "annotations": {"s": "1"}},
        "deployment": {
            "replicas": 3,
            "annotations": {"servicemesh.kubesphere.io/enabled": "true", "d": "2"},
            "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
        },
    }
    values = through(helm, gateway("g", WORKING, spec))[0]["spec"]
    controller = values["controller"]
    assert controller["config"] == {"keep-alive": "5"}
    assert (values["tcp"], values["udp"]) == ({"8080": "a/b:1:PROXY"}, {"53": "a/c:2"})
    assert controller["service"] == {"type": "NodePort", "annotations": {"s": "1"}}
    assert controller["publishService"] == {"enabled": False}
    assert controller["replicaCount"] == 3
    assert controller["annotations"] == spec["deployment"]["annotations"]
    assert controller["podAnnotations"] == {"sidecar.istio.io/inject": "true"}
    assert controller["resources"] == {"requests": {"cpu": "1", "memory": "90Mi"}, "limits": {"memory": "1Gi"}}
    assert (controller["name"], controller["kind"], controller["minAvailable"]) == ("", "Deployment", 1)
    assert controller["autoscaling"] == {"enabled": False}
    assert controller["admissionWebhooks"] == {"enabled": False}
    assert controller["metrics"]["enabled"] is True


def test_the_service_monitor_follows_the_cluster(helm):
    """It is on, as in KubeSphere, where the cluster has the kind; else the installation would fail."""
    flag = "--api-versions=monitoring.coreos.com/v1/ServiceMonitor"
    for flags, there in (((), False), ((flag,), True)):
        nginx = helm.render("gateway", {}, *flags).one("Nginx")
        assert nginx["spec"]["controller"]["metrics"]["serviceMonitor"] == {"enabled": there}


def test_values_are_merged_by_helms_rules(each_helm):
    """Maps merge, lists replace, null deletes a default, false and zero count, and large numbers stay whole."""
    values = {
        "controller": {
            "service": {"annotations": {"b": "2"}, "type": "ClusterIP"},
            "affinity": None,
            "resources": None,
            "minReadySeconds": 0,
            "metrics": {"enabled": False},
            "podSecurityContext": {"fsGroup": 1000660000},
            "tolerations": [{"key": "a"}],
        }
    }
    spec = {"service": {"annotations": {"a": "1"}}, "values": values}
    nginx, rendered = through(each_helm, gateway("g", WORKING, spec))
    controller = nginx["spec"]["controller"]
    assert controller["service"] == {"type": "ClusterIP", "annotations": {"a": "1", "b": "2"}}
    assert controller["publishService"] == {"enabled": False}
    assert controller["resources"] is None
    container = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"][1]
    assert "resources" not in container
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    assert "affinity" not in pod
    assert pod["securityContext"]["fsGroup"] == 1000660000
    assert not [o for o in rendered.all("Service") if o["metadata"]["name"].endswith("-metrics")]


def test_what_the_operator_decides_stays(helm):
    """spec.values may say what it likes about lease, scope and class."""
    values = {
        "rbac": {"scope": True},
        "controller": {
            "electionID": "x",
            "scope": {"enabled": True},
            "ingressClassResource": {"controllerValue": "x/y"},
            "expandTemplates": True,
        },
    }
    nginx, _ = through(helm, gateway("g", WORKING, {"values": values}))
    controller = nginx["spec"]["controller"]
    assert controller["electionID"] == "ingress-controller-leader-g"
    assert controller["scope"]["enabled"] is False
    assert controller["ingressClassResource"]["controllerValue"] == f"gateway.kubesphere.io/{WORKING}.g"
    assert nginx["spec"]["rbac"] == {"scope": False}
    assert controller["expandTemplates"] is False


def test_a_users_text_is_no_template(each_helm):
    """Who writes a Gateway must not read the cluster through Helm's `lookup`."""
    text = '{{ lookup "v1" "Secret" "kube-system" "x" }}{{ .Release.Name }}'
    spec = {
        "controller": {"scope": {"enabled": True}, "config": {"x": text}},
        "service": {"annotations": {"x": text}},
        "deployment": {"annotations": {"x": text}},
        "values": {"controller": {"podAnnotations": {"x": text}, "affinity": {"nodeAffinity": {"x": text}}}},
    }
    _, rendered = through(each_helm, gateway("g", "team", spec))
    assert rendered.one("ConfigMap")["data"]["x"] == text
    assert rendered.one("Service", "g")["metadata"]["annotations"]["x"] == text
    deployment = rendered.one("Deployment")
    assert deployment["metadata"]["annotations"]["x"] == text
    assert deployment["spec"]["template"]["metadata"]["annotations"]["x"] == text
    assert deployment["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]["x"] == text


def test_the_settings_image_wins(helm):
    """Repository and tag of the settings, also where the user chose a digest."""
    image = {"repository": "x/controller", "tag": "v9", "digest": "sha256:0"}
    settings = {"repository": "r.example/gateway-operator", "tag": "v1"}
    obj = gateway("g", WORKING, {"values": {"controller": {"image": image}}})
    _, rendered = through(helm, obj, settings)
    images = {c["image"] for c in rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]}
    assert images == {"r.example/gateway-operator:v1"}


@pytest.mark.parametrize("name", ["kubesphere-router-" + "p" * 63, "a.b", "x" * 253])
def test_long_names_fit(helm, name):
    """Namespaces of 63 characters work; KubeSphere's stop at 27."""
    nginx, rendered = through(helm, gateway(name, "p" * 63, {"controller": {"scope": {"enabled": True}}}))
    assert len(nginx["metadata"]["name"]) <= 53
    assert all(len(o["metadata"]["name"]) <= 63 for o in rendered.objects)
    for obj in rendered.objects:
        assert all(len(value) <= 63 for value in obj["metadata"]["labels"].values())


def test_the_chart_works_without_the_operator(each_helm):
    """`helm install` of charts/gateway gives an Nginx that stands by itself."""
    nginx = each_helm.render("gateway", {"controller": {"scope": {"enabled": True}}}, name="solo").one("Nginx")
    controller = nginx["spec"]["controller"]
    assert nginx["metadata"]["name"] == "solo-ingress"
    assert controller["ingressClassResource"] == {
        "enabled": False,
        "name": "nginx",
        "controllerValue": "gateway.kubesphere.io/ns.solo",
    }
    assert controller["watchIngressWithoutClass"] is True
    assert nginx["spec"]["rbac"] == {"scope": True}


def test_unknown_values_are_refused(helm):
    """A typing mistake is told by helm."""
    assert "sevrice" in helm.refusal("gateway", {"sevrice": {}})


def test_kk5660_off_by_replicas_leaves_the_service(helm):
    """R16: with no replicas only the number of pods differs, so that the Service keeps its ports and its address."""
    spec = {"service": {"type": "NodePort"}, "controller": {"scope": {"enabled": True, "namespace": "team"}}}
    on = through(helm, gateway("g", WORKING, {**spec, "deployment": {"replicas": 2}}))[1]
    off = through(helm, gateway("g", WORKING, {**spec, "deployment": {"replicas": 0}}))[1]
    assert (on.one("Deployment")["spec"]["replicas"], off.one("Deployment")["spec"]["replicas"]) == (2, 0)
    assert off.one("Service", "g") == on.one("Service", "g")


def test_node_ports_of_the_annotation_reach_the_service(helm):
    """The ports that a gateway had are asked for again, those of tcp services as well."""
    obj = gateway("g", WORKING, {"service": {"type": "NodePort"}, "controller": {"tcp": {"9000": "a/b:1"}}})
    obj["metadata"]["annotations"] = {"gateway.kubesphere.io/node-ports": "http=30080,tcp/9000=31000"}
    ports = through(helm, obj)[1].one("Service", "g")["spec"]["ports"]
    assert {port["port"]: port.get("nodePort") for port in ports} == {80: 30080, 443: None, 9000: 31000}
