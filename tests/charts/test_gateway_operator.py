"""charts/gateway-operator: the operator's own installation, and rights that suffice for what it installs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gateway_operator.commands.doctor.rights import NEEDED
from gateway_operator.crds.manifests import ALL_KINDS
from gateway_operator.settings import load_settings
from helm_runner import CHARTS

EVERYTHING: dict[str, Any] = {
    "controller": {
        "allowSnippetAnnotations": True,
        "addHeaders": {"a": "b"},
        "proxySetHeaders": {"a": "b"},
        "replicaCount": 2,
        "reportNodeInternalIp": True,
        "networkPolicy": {"enabled": True},
        "service": {"internal": {"enabled": True, "annotations": {"a": "b"}}},
        "metrics": {"enabled": True, "serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
        "admissionWebhooks": {"enabled": True, "certManager": {"enabled": True}},
        "publishService": {"enabled": False},
    },
    "defaultBackend": {"enabled": True, "replicaCount": 2, "networkPolicy": {"enabled": True}},
    "tcp": {"8080": "a/b:1"},
    "udp": {"53": "a/b:1"},
    "dhParam": "aa",
}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"image": {"repository": "x/controller"}},
    {"kind": "DaemonSet", "hostNetwork": True},
    {"autoscaling": {"enabled": True}},
    {"admissionWebhooks": {"enabled": True}},
    {"keda": {"enabled": True}},
    {"scope": {"enabled": True, "namespace": "team"}},
]
PLURALS = {
    "IngressClass": "ingressclasses",
    "NetworkPolicy": "networkpolicies",
    "Nginx": "nginxes",
}


def rules_of(role):
    """Return the (group, resource, verb) triples of a role."""
    return {
        (g, r, v) for rule in role["rules"] for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]
    }


def installed(helm):
    """Render everything that the operator may install."""
    objects = helm.render("gateway", {}).objects
    for variant in VARIANTS:
        for scoped in (False, True):
            values = {**EVERYTHING, "controller": {**EVERYTHING["controller"], **variant}, "rbac": {"scope": scoped}}
            if scoped and "scope" not in variant:
                continue
            objects += helm.render("ingress-nginx", values).objects
            if "image" not in variant:
                image = {"image": {"repository": "x/controller"}}
                values["controller"] = {**values["controller"], **image}
                objects += helm.render("ingress-nginx", values).objects
    return objects


def test_the_operator_has_every_right_that_it_grants(helm):
    """The API server lets nobody grant what they don't have."""
    own = rules_of(helm.render("gateway-operator").one("ClusterRole", "gw-gateway-operator"))
    roles = [o for o in installed(helm) if o["kind"] in {"Role", "ClusterRole"}]
    assert len(roles) > len(VARIANTS)
    assert set().union(*(rules_of(role) for role in roles)) <= own


def test_the_operator_may_install_every_object(helm):
    """Each kind of both charts can be made, watched, changed and removed."""
    own = rules_of(helm.render("gateway-operator").one("ClusterRole", "gw-gateway-operator"))
    kinds = set()
    for obj in installed(helm):
        group = obj["apiVersion"].rpartition("/")[0]
        kinds.add(obj["kind"])
        plural = PLURALS.get(obj["kind"], obj["kind"].lower() + "s")
        for verb in ("get", "list", "watch", "create", "update", "patch", "delete"):
            assert (group, plural, verb) in own, (group, plural, verb)
    assert {
        "HorizontalPodAutoscaler",
        "ScaledObject",
        "ValidatingWebhookConfiguration",
        "Certificate",
        "DaemonSet",
    } <= kinds


def test_the_operator_has_no_wildcards(helm):
    """What it may do can be read."""
    for role in helm.render("gateway-operator").all("ClusterRole"):
        assert "*" not in str(role["rules"])


@pytest.mark.parametrize("namespace", ["system", "kubesphere-controls-system"])
def test_the_working_namespace(helm, namespace):
    """It is made unless the release is in it, and stays when the release goes."""
    found = helm.render("gateway-operator", {}, namespace=namespace).all("Namespace")
    names = [o["metadata"]["name"] for o in found]
    assert names == ([] if namespace == "kubesphere-controls-system" else ["kubesphere-controls-system"])
    assert all(o["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for o in found)


def test_the_working_namespace_can_be_another_or_none(helm):
    """Unset still needs a place for cluster gateways."""
    other = helm.render("gateway-operator", {"gateway": {"namespace": "edge"}})
    assert other.one("Namespace")["metadata"]["name"] == "edge"
    unset = helm.render("gateway-operator", {"gateway": {"namespace": ""}})
    assert unset.one("Namespace")["metadata"]["name"] == "kubesphere-controls-system"
    assert not helm.render("gateway-operator", {"gateway": {"createNamespace": False}}).all("Namespace")


def test_crds(helm):
    """They are those of the models, upgraded with the release and kept when it goes."""
    crds = helm.render("gateway-operator").all("CustomResourceDefinition")
    assert {o["metadata"]["name"] for o in crds} == {model.crd.name for model in ALL_KINDS}
    for crd in crds:
        source = yaml.safe_load(
            (CHARTS / "gateway-operator" / "files" / "crds" / f"{crd['spec']['names']['plural']}.yaml").read_text()
        )
        assert crd["spec"] == source["spec"]
        assert crd["metadata"]["labels"]["app.kubernetes.io/part-of"] == "gateway-operator"
        assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert not helm.render("gateway-operator", {"crds": {"install": False}}).all("CustomResourceDefinition")


def settings_of(rendered, tmp_path):
    """Read the settings file as the operator does."""
    file = tmp_path / "config.yaml"
    file.write_text(rendered.one("ConfigMap")["data"]["config.yaml"])
    return load_settings(file, {})


def test_the_settings_are_those_that_the_operator_reads(helm, tmp_path):
    """By default every gateway runs the operator's own image, from the rows in it."""
    values = {"image": {"repository": "r.example/gateway-operator", "tag": "v1"}}
    settings = settings_of(helm.render("gateway-operator", values, namespace="system"), tmp_path)
    assert (settings.gateway.repository, settings.gateway.tag) == ("r.example/gateway-operator", "v1")
    assert str(settings.gateway.watches_path) == "/opt/gateway-operator/watches.yaml"
    assert settings.gateway.namespace == "kubesphere-controls-system"
    assert (settings.lease_namespace, settings.leader_elect) == ("system", True)


def test_seed_names_reach_the_settings(helm, tmp_path):
    """watchesPath, namespace, repository and tag; the operator's tag isn't put on another image."""
    values = {
        "gateway": {"watchesPath": "", "namespace": "", "repository": "x/controller"},
        "watchNamespaces": ["a"],
        "adoptCrds": True,
    }
    settings = settings_of(helm.render("gateway-operator", values), tmp_path)
    assert (settings.gateway.watches_path, settings.gateway.namespace) == (None, None)
    assert (settings.gateway.repository, settings.gateway.tag) == ("x/controller", None)
    assert (settings.watch_namespaces, settings.adopt_crds) == (("a",), True)


def test_the_deployment(helm):
    """Two replicas that may run anywhere restricted; helm's files go to a volume; new settings restart it."""
    rendered = helm.render("gateway-operator")
    spec = rendered.one("Deployment")["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["replicas"] == 2
    assert container["args"] == ["run", "--config", "/etc/gateway-operator/config.yaml"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    env = {e["name"]: e.get("value") for e in container["env"]}
    assert all(
        env[name].startswith("/tmp") for name in ("HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
    )
    assert {"POD_NAME", "POD_NAMESPACE"} <= env.keys()
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert rendered.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    other = helm.render("gateway-operator", {"logLevel": "debug"}).one("Deployment")["spec"]["template"]
    assert other["metadata"]["annotations"] != spec["template"]["metadata"]["annotations"]
    assert not helm.render("gateway-operator", {"replicaCount": 1}).all("PodDisruptionBudget")


def test_roles_of_users(helm):
    """view reads, edit and admin manage Gateways; Nginx objects are for administrators of the cluster."""
    rendered = helm.render("gateway-operator")
    for name in ("view", "edit", "admin"):
        role = rendered.one("ClusterRole", f"gw-gateway-operator-{name}")
        assert role["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{name}"] == "true"
        written = {r for _, r, v in rules_of(role) if v not in {"get", "list", "watch"}}
        assert written == (set() if name == "view" else {"gateways", "gateways/scale", "clustertrafficpolicies"})
    direct = rendered.one("ClusterRole", "gw-gateway-operator-nginx-admin")
    assert not [label for label in direct["metadata"]["labels"] if "aggregate" in label]


def test_both_helms_render_and_lint_every_chart(each_helm):
    """Helm 4 first; Helm 3 must work."""
    mirror = {"name": "ctp-1", "cluster": "a", "service": {"namespace": "n", "name": "s"}, "port": {"name": "http"}}
    values = {"cluster-traffic-policy": {"policy": "cafe", "mirrors": [mirror]}}
    for chart in ("gateway", "ingress-nginx", "gateway-operator", "cluster-traffic-policy"):
        assert each_helm.render(chart, values.get(chart, {})).objects
        done = each_helm.run("lint", "--strict", str(CHARTS / chart))
        assert done.returncode == 0, done.stdout


def test_watches_name_the_charts():
    """The rows of the image point at charts beside the file."""
    rows = yaml.safe_load((CHARTS.parent / "watches.yaml").read_text())
    assert [(row["kind"], row["chart"]) for row in rows] == [
        ("Nginx", "charts/ingress-nginx"),
        ("Gateway", "charts/gateway"),
        ("ClusterTrafficPolicy", "charts/cluster-traffic-policy"),
    ]
    assert all((CHARTS.parent / row["chart"] / "Chart.yaml").is_file() for row in rows)


def test_the_doctor_asks_for_the_rights_of_the_chart(helm):
    """What `gateway-operator doctor` asks for is what the ClusterRole grants."""
    asked = {(group, resource, verb) for group, resources, verbs in NEEDED for resource in resources for verb in verbs}
    role = helm.render("gateway-operator", {}).one("ClusterRole", "gw-gateway-operator")
    assert asked == rules_of(role)


def test_what_the_farewell_needs_stays_for_it(helm):
    """The role, its binding and the ServiceAccount are kept by Helm, and the role may do no more than say farewell."""
    found = helm.render("gateway-operator", {})
    name = "gw-gateway-operator"
    role = found.one("ClusterRole", f"{name}-farewell")
    kept = [role, found.one("ClusterRoleBinding", f"{name}-farewell"), found.one("ServiceAccount", name)]
    assert {o["metadata"]["annotations"]["helm.sh/resource-policy"] for o in kept} == {"keep"}
    assert role["metadata"]["annotations"]["gateway.kubesphere.io/farewell"] == name
    named = [rule for rule in role["rules"] if rule["apiGroups"][0] not in {"gateway.kubesphere.io", "k8s.nginx.org"}]
    assert all(rule["resourceNames"] for rule in named)
    without = helm.render("gateway-operator", {"rbac": {"create": False}})
    assert not without.one("ServiceAccount", name)["metadata"].get("annotations")
