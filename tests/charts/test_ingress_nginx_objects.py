"""charts/ingress-nginx: rights, workloads and optional objects, each with its condition."""

from __future__ import annotations

from typing import Any

import pytest

from ingress_nginx_release import ALWAYS, NAME, UPSTREAM, containers, controller, flags, pod


def test_ingress_class(render):
    """With aliases and the mark of the cluster's default, or not at all."""
    rendered = render(
        controller(ingressClassResource={"name": "web", "aliases": ["www"], "default": True, "controllerValue": "a/b"})
    )
    by_name = {o["metadata"]["name"]: o for o in rendered.all("IngressClass")}
    assert set(by_name) == {"web", "www"}
    assert by_name["web"]["metadata"]["annotations"] == {"ingressclass.kubernetes.io/is-default-class": "true"}
    assert by_name["www"]["spec"] == {"controller": "a/b"}
    assert "namespace" not in by_name["web"]["metadata"]
    assert not render(controller(ingressClassResource={"enabled": False})).all("IngressClass")


PROJECT: dict[str, Any] = {
    "rbac": {"scope": True},
    "controller": {
        "scope": {"enabled": True, "namespace": "team"},
        "ingressClassByName": True,
        "ingressClassResource": {"enabled": False},
    },
}


def granted(role):
    """Return the (resource, verb) pairs of a role."""
    return {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.parametrize("image", [{}, UPSTREAM])
def test_a_project_gateway_has_nothing_cluster_wide(render, image):
    """Roles only, in its own and in the project's namespace, without IngressClass and nodes."""
    rendered = render({**PROJECT, "controller": {**PROJECT["controller"], **image}})
    assert not {"ClusterRole", "ClusterRoleBinding", "IngressClass"} & rendered.kinds()
    roles = {o["metadata"]["namespace"]: granted(o) for o in rendered.all("Role")}
    assert set(roles) == {"ns", "team"}
    assert ("secrets", "list") in roles["team"]
    assert ("ingresses/status", "patch") in roles["team"]
    for role in roles.values():
        assert not {r for r, _ in role} & {"ingressclasses", "nodes"}
    if not image:
        assert "secrets" not in {r for r, _ in roles["ns"]}
    for binding in rendered.all("RoleBinding"):
        assert binding["subjects"][0]["namespace"] == "ns"


def test_a_project_gateway_in_its_project_has_one_role(render):
    """Both sets of rules come together."""
    rendered = render({**PROJECT, "controller": {**PROJECT["controller"], "scope": {"enabled": True}}})
    role = granted(rendered.one("Role"))
    assert {("secrets", "watch"), ("configmaps", "watch"), ("leases", "create"), ("events", "create")} <= role


def test_a_cluster_gateway_reads_and_writes_no_more_than_it_needs(render):
    """It writes only Ingress status, Events and its own lease."""
    rendered = render()
    rules = rendered.one("ClusterRole")["rules"] + rendered.one("Role")["rules"]
    writes = {(r, v) for r, v in granted({"rules": rules}) if v not in {"get", "list", "watch"}}
    assert writes == {
        ("ingresses/status", "patch"),
        ("ingresses/status", "update"),
        ("events", "create"),
        ("events", "patch"),
        ("leases", "create"),
        ("leases", "patch"),
        ("leases", "update"),
    }
    named = [r for r in rules if r["resources"] == ["leases"] and "update" in r["verbs"]]
    assert named[0]["resourceNames"] == ["gw-ingress-nginx-leader"]


def test_rbac_and_account_can_be_left_out(render):
    """Who brings their own gets none of ours."""
    rendered = render({"rbac": {"create": False}, "serviceAccount": {"create": False, "name": "mine"}})
    assert not {"ClusterRole", "Role", "ServiceAccount", "RoleBinding"} & rendered.kinds()
    assert pod(rendered)["serviceAccountName"] == "mine"
    status = render(controller(extraArgs={"update-status": "false"}))
    assert "ingresses/status" not in {r for r, _ in granted(status.one("ClusterRole"))}


def test_a_daemon_set_on_the_nodes_network(render):
    """Seed 003's form: ports 80 and 443 of each node, names of the cluster still resolve, and it rolls."""
    rendered = render(controller(kind="DaemonSet", hostNetwork=True, service={"enabled": False}))
    spec = pod(rendered, "DaemonSet")
    assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert "sysctls" not in spec["securityContext"]
    nginx = containers(rendered, "DaemonSet")["nginx"]
    assert [(p["containerPort"], p["hostPort"]) for p in nginx["ports"]] == [(80, 80), (443, 443)]
    assert nginx["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert nginx["securityContext"]["allowPrivilegeEscalation"] is True
    assert containers(rendered, "DaemonSet")["controller"]["securityContext"]["allowPrivilegeEscalation"] is False
    assert "replicas" not in rendered.one("DaemonSet")["spec"]
    assert not any(
        arg.startswith("--publish-service") for arg in containers(rendered, "DaemonSet")["controller"]["args"]
    )


def test_a_deployment_on_the_nodes_network_lets_the_old_pod_go_first(render):
    """Two pods can't have one node's ports."""
    for values in ({"hostNetwork": True}, {"hostPort": {"enabled": True}}):
        strategy = render(controller(**values)).one("Deployment")["spec"]["strategy"]
        assert strategy["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    own = {"type": "Recreate"}
    assert render(controller(hostNetwork=True, updateStrategy=own)).one("Deployment")["spec"]["strategy"] == own
    ports = containers(render(controller(hostPort={"enabled": True, "ports": {"http": 8080}})))["nginx"]["ports"]
    assert {p["name"]: p["hostPort"] for p in ports} == {"http": 8080, "https": 443}


@pytest.mark.parametrize(
    ("values", "kinds", "replicas"),
    [
        ({}, set(), 1),
        ({"replicaCount": 2}, {"PodDisruptionBudget"}, 2),
        ({"autoscaling": {"enabled": True}}, {"HorizontalPodAutoscaler"}, None),
        (
            {"autoscaling": {"enabled": True, "minReplicas": 2}},
            {"HorizontalPodAutoscaler", "PodDisruptionBudget"},
            None,
        ),
        (
            {"keda": {"enabled": True, "minReplicas": 2, "triggers": [{"type": "cpu"}]}},
            {"ScaledObject", "PodDisruptionBudget"},
            None,
        ),
        ({"keda": {"enabled": True}, "autoscaling": {"enabled": True}}, set(), 1),
    ],
)
def test_scaling(render, values, kinds, replicas):
    """Whoever scales owns the replicas; a budget only where there are two pods to choose from."""
    rendered = render(controller(**values))
    assert rendered.kinds() & {"HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget"} == kinds
    assert rendered.one("Deployment")["spec"].get("replicas") == replicas


def test_a_daemon_set_scales_with_the_nodes(render):
    """No autoscaler, no budget."""
    rendered = render(controller(kind="DaemonSet", replicaCount=3, autoscaling={"enabled": True}))
    assert not {"HorizontalPodAutoscaler", "PodDisruptionBudget"} & rendered.kinds()


def test_observability(render):
    """Each object has its own switch; the monitors need metrics, too."""
    on = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True, "rules": [{"alert": "A"}]}}
    assert not {"ServiceMonitor", "PrometheusRule"} & render(controller(metrics=on)).kinds()
    rendered = render(controller(metrics={"enabled": True, **on}, networkPolicy={"enabled": True}))
    assert {"ServiceMonitor", "PrometheusRule", "NetworkPolicy"} <= rendered.kinds()
    assert rendered.one("PrometheusRule")["spec"]["groups"][0]["rules"] == [{"alert": "A"}]
    ports = {p["port"] for p in rendered.one("NetworkPolicy")["spec"]["ingress"][0]["ports"]}
    assert ports == {80, 443, 10254}
    monitor = rendered.one("ServiceMonitor")["spec"]
    assert monitor["namespaceSelector"] == {"matchNames": ["ns"]}


WEBHOOK: dict[str, Any] = {"admissionWebhooks": {"enabled": True}}
ADMISSION = "gw-ingress-nginx-admission"


def test_kk6238_kk6240_nothing_stands_before_ingresses_by_itself(helm):
    """R19: unless somebody asks for a webhook, no chart puts anything of ours between people and their Ingresses."""
    for chart in ("gateway-operator", "ingress-nginx", "gateway", "cluster-traffic-policy"):
        kinds = helm.render(chart).kinds()
        assert not {kind for kind in kinds if "Admission" in kind or "Webhook" in kind}, chart


def test_the_webhook_of_the_upstream_image(render):
    """Upstream's names, path and flags; its certificate comes from a Secret or from cert-manager, never from a Job."""
    rendered = render(controller(**WEBHOOK, **UPSTREAM))
    webhook = rendered.one("ValidatingWebhookConfiguration")["webhooks"][0]
    assert (webhook["failurePolicy"], webhook["timeoutSeconds"]) == ("Fail", 10)
    assert webhook["clientConfig"]["service"]["path"] == "/networking/v1/ingresses"
    assert "--validating-webhook=:8443" in flags(rendered)
    assert ("Service", f"{NAME}-admission") in rendered.names()
    assert not {"Job", "Secret"} & rendered.kinds()
    managed = {"admissionWebhooks": {"enabled": True, "certManager": {"enabled": True}}}
    assert {"Issuer", "Certificate"} <= render(controller(**managed, **UPSTREAM)).kinds()


def test_the_webhook_of_our_image(render):
    """Our controller makes the certificates, with rights to one Secret and one configuration, neither to make one."""
    rendered = render(controller(**WEBHOOK))
    assert rendered.names() - ALWAYS == {
        ("ValidatingWebhookConfiguration", ADMISSION),
        ("Service", f"{NAME}-admission"),
        ("Secret", f"{ADMISSION}-tls"),
    }
    webhook = rendered.one("ValidatingWebhookConfiguration")["webhooks"][0]
    assert webhook["timeoutSeconds"] == 2
    assert "caBundle" not in webhook["clientConfig"]
    assert not {"data", "stringData"} & set(rendered.one("Secret"))
    assert [flag for flag in flags(rendered) if "webhook" in flag] == [
        "--validating-webhook=:8443",
        f"--validating-webhook-secret={ADMISSION}-tls",
        f"--validating-webhook-configuration={ADMISSION}",
    ]
    assert {"name": "webhook", "containerPort": 8443, "protocol": "TCP"} in containers(rendered)["controller"]["ports"]
    rules = rendered.one("ClusterRole")["rules"]
    assert {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["validatingwebhookconfigurations"],
        "resourceNames": [ADMISSION],
        "verbs": ["get", "patch"],
    } in rules
    (secrets,) = [rule for rule in rendered.one("Role")["rules"] if "secrets" in rule["resources"]]
    assert (secrets["resourceNames"], secrets["verbs"]) == ([f"{ADMISSION}-tls"], ["get", "list", "watch", "patch"])


@pytest.mark.parametrize("more", [{"certManager": {"enabled": True}}, {"caBundle": "QUFB"}])
def test_the_webhook_of_our_image_with_others_certificates(render, more):
    """They come in files, and no right is given for them; a gateway with Roles only may have it, too."""
    values = controller(admissionWebhooks={"enabled": True, **more}, scope={"enabled": True})
    values["rbac"] = {"scope": True}
    rendered = render(values)
    assert "--validating-webhook-certificate=/usr/local/certificates/cert" in flags(rendered)
    mounts = {mount["name"]: mount["mountPath"] for mount in containers(rendered)["controller"]["volumeMounts"]}
    assert mounts["webhook-cert"] == "/usr/local/certificates"
    assert "webhook-cert" not in {mount["name"] for mount in containers(rendered)["nginx"]["volumeMounts"]}
    assert not {"Secret", "ClusterRole"} & rendered.kinds()


def test_the_webhooks_own_certificates_need_a_cluster_role(helm):
    """With Roles only it is refused, in words that say what to do."""
    values = controller(**WEBHOOK, scope={"enabled": True}) | {"rbac": {"scope": True}}
    assert "needs certManager.enabled or caBundle" in helm.refusal("ingress-nginx", values)


def test_default_backend(render):
    """Its objects, and the budget, autoscaler and policy by their own switches."""
    rendered = render({"defaultBackend": {"enabled": True}})
    assert rendered.names() - ALWAYS == {
        ("Deployment", "gw-ingress-nginx-defaultbackend"),
        ("Service", "gw-ingress-nginx-defaultbackend"),
        ("ServiceAccount", "gw-ingress-nginx-backend"),
    }
    more = {
        "enabled": True,
        "autoscaling": {"enabled": True, "minReplicas": 2},
        "networkPolicy": {"enabled": True},
        "extraConfigMaps": [{"name": "x", "data": {"a": "b"}}],
        "extraArgs": {"a": "b"},
    }
    rendered = render({"defaultBackend": more})
    assert {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"} <= rendered.kinds()
    assert ("ConfigMap", "x") in rendered.names()


def test_pod_options(render):
    """What users set for scheduling, probes and more containers arrives in the pod."""
    options: dict[str, Any] = {
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1}],
        "priorityClassName": "high",
        "runtimeClassName": "fast",
        "hostAliases": [{"ip": "127.0.0.1"}],
        "dnsConfig": {"nameservers": ["1.1.1.1"]},
    }
    rendered = render(
        controller(
            **options,
            extraContainers=[{"name": "more"}],
            extraInitContainers=[{"name": "first"}],
            extraVolumes=[{"name": "v"}],
            extraVolumeMounts=[{"name": "v", "mountPath": "/v"}],
            extraEnvs=[{"name": "A", "value": "1"}],
            podLabels={"x": "y", "app.kubernetes.io/name": "mine"},
            resources={"limits": {"cpu": 1}},
            startupProbe={"periodSeconds": 1},
            lifecycle={"preStop": {"exec": {"command": ["/wait-shutdown"]}}},
        )
    )
    spec, by_name = pod(rendered), containers(rendered)
    assert {key: spec[key] for key in options} == options
    assert set(by_name) == {"controller", "nginx", "more"}
    assert spec["initContainers"] == [{"name": "first"}]
    assert by_name["nginx"]["resources"]["limits"] == {"cpu": 1}
    assert {"name": "A", "value": "1"} in by_name["controller"]["env"]
    assert "lifecycle" not in by_name["controller"]
    labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert (labels["x"], labels["app.kubernetes.io/name"]) == ("y", "ingress-nginx")
