"""charts/gateway-operator with the API: off unless asked for, and no rights but those that it needs."""

from __future__ import annotations

import pytest
import yaml

from gateway_operator.settings_api import load_api_settings
from gateway_operator.web.providers import read

ON = {"api": {"enabled": True, "tls": {"secretName": "api-tls"}}}
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
NAME = "gw-gateway-operator-api"


def triples(role):
    """Return the (group, resource, verb) triples of a role."""
    return {
        (g, r, v) for rule in role["rules"] for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]
    }


def test_off_by_default(helm):
    """Nothing of the API is there unless it is enabled."""
    assert not [name for _, name in helm.render("gateway-operator").names() if "api" in name]


def test_a_certificate_is_needed(helm):
    """Without a Secret for TLS the chart says what is missing."""
    assert "api.tls.secretName" in helm.refusal("gateway-operator", {"api": {"enabled": True}})


def test_its_rights(helm):
    """Reviews, Gateways and namespaces for the cluster; pods and Helm's records in the working namespace."""
    found = helm.render("gateway-operator", ON)
    assert triples(found.one("ClusterRole", NAME)) == {
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("authorization.k8s.io", "subjectaccessreviews", "create"),
        ("", "namespaces", "get"),
        ("networking.k8s.io", "ingressclasses", "list"),
        *(("gateway.kubesphere.io", "gateways", v) for v in VERBS),
    }
    role = found.one("Role", f"{NAME}-gateways")
    assert role["metadata"]["namespace"] == "kubesphere-controls-system"
    assert triples(role) == {
        ("", "pods/log", "get"),
        *(("", resource, verb) for resource in ("pods", "secrets") for verb in ("get", "list")),
    }
    without = helm.render("gateway-operator", {"api": {**ON["api"], "releases": False}})
    assert not [r for _, r, _ in triples(without.one("Role", f"{NAME}-gateways")) if r == "secrets"]
    assert {
        s["name"] for b in found.all("ClusterRoleBinding") for s in b["subjects"] if b["roleRef"]["name"] == NAME
    } == {NAME}


def test_names_of_projects_are_watched_for_logs_only(helm):
    """Telling routes of access lines apart takes the names of all namespaces."""
    config = {"observability": {"elasticsearch": {"urls": ["https://es:9200"]}}}
    role = helm.render("gateway-operator", {"api": {**ON["api"], "config": config}}).one("ClusterRole", NAME)
    assert {v for _, r, v in triples(role) if r == "namespaces"} == {"get", "list", "watch"}


def test_without_a_working_namespace(helm):
    """Gateways in their own projects have their pods there: the rights hold everywhere."""
    found = helm.render("gateway-operator", {**ON, "gateway": {"namespace": ""}})
    assert ("", "pods/log", "get") in triples(found.one("ClusterRole", f"{NAME}-gateways"))


@pytest.mark.parametrize("config", [{}, {"api": {"limits": {"burst": 9}}}])
def test_its_settings_can_be_read(helm, tmp_path, config):
    """What the chart writes is what the program accepts, with the operator's section gateway."""
    found = helm.render("gateway-operator", {"api": {**ON["api"], "config": config}})
    own, operator = tmp_path / "own.yaml", tmp_path / "operator.yaml"
    own.write_text(found.one("ConfigMap", NAME)["data"]["config.yaml"])
    operator.write_text(found.one("ConfigMap", "gw-gateway-operator")["data"]["config.yaml"])
    settings = load_api_settings(own, operator, {})
    assert settings.gateway.namespace == "kubesphere-controls-system"
    assert settings.log_json
    assert yaml.safe_load(own.read_text()).get("api", {}) == config.get("api", {})


def test_con3139_con3098_kk1021_kk4101_con2169_no_vendor_is_preferred(helm):
    """R18: the catalogue is data: the chart's has no broken entry, and an administrator's list replaces it."""
    own = read(helm.render("gateway-operator", ON).one("ConfigMap", f"{NAME}-providers")["data"]["providers.yaml"])
    assert not own.leftOut
    assert {"node-port", "metallb", "aws-nlb", "azure", "gke", "alibaba-clb"} <= {one.name for one in own.items}
    mine = [{"name": "ours", "title": "Ours", "annotations": [{"key": "lb.example.com/pool"}]}]
    for chosen, names in ((mine, ["ours"]), ([], [])):
        found = helm.render("gateway-operator", {"api": {**ON["api"], "providers": chosen}})
        text = found.one("ConfigMap", f"{NAME}-providers")["data"]["providers.yaml"]
        assert [one.name for one in read(text).items] == names


def test_its_pod(helm):
    """The pod runs without rights on its node, and its probes don't need TLS."""
    found = helm.render("gateway-operator", ON)
    spec = found.one("Deployment", NAME)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["serviceAccountName"] == NAME
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["readinessProbe"]["httpGet"]["port"] == "health"
    assert "--tls-cert-file=/etc/gateway-operator-tls/tls.crt" in container["args"]
    assert next(v for v in spec["volumes"] if v["name"] == "tls")["secret"]["secretName"] == "api-tls"


def test_users_roles_cover_the_apis_rights(helm):
    """Who may view a project sees all that the API shows of its gateways."""
    view = triples(helm.render("gateway-operator").one("ClusterRole", "gw-gateway-operator-view"))
    from gateway_operator.web.actions import RIGHTS

    for right in RIGHTS.values():
        if right.verb == "get" and right.scope == "project":
            resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
            assert (right.group, resource, "get") in view
