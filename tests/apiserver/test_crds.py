"""The CRDs on a real API server: what it takes, what it refuses and in which words, and what kubectl shows."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_operator.crds.gateway import PORT_KEY_MESSAGE, PORT_TARGET_MESSAGE
from gateway_operator.crds.manifests import ALL_KINDS, all_yaml
from gateway_operator.crds.schema import structural_schema

ROOT = Path(__file__).resolve().parents[2]
GROUP = "gateway.kubesphere.io"


@pytest.fixture(scope="module")
def cluster(api_cluster) -> Iterator[Any]:
    """An API server with the CRDs."""
    api_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=all_yaml())
    names = [f"crd/{model.crd.name}" for model in ALL_KINDS]
    api_cluster.kubectl("wait", "--for=condition=Established", *names, "--timeout=30s")
    return api_cluster


def manifest(spec: dict[str, Any] | None, namespace: str, kind: str = "Gateway", name: str = "g") -> str:
    """Write an object."""
    obj = {"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": namespace}}
    return json.dumps(obj if spec is None else obj | {"spec": spec})


def refusal(cluster, spec: dict[str, Any], namespace: str) -> str:
    """Apply a Gateway, which must fail, and return what kubectl says."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        cluster.kubectl("apply", "-f", "-", input=manifest(spec, namespace))
    return str(caught.value.stderr) + "".join(getattr(caught.value, "__notes__", []))


def read(cluster, *arguments: str) -> Any:
    """Run `kubectl get -o json`."""
    return json.loads(cluster.kubectl("get", *arguments, "-o", "json"))


def test_the_crds_are_structural(cluster):
    """The API server has nothing to say against the schemas."""
    for model in ALL_KINDS:
        conditions = {c["type"]: c["status"] for c in read(cluster, "crd", model.crd.name)["status"]["conditions"]}
        assert conditions["Established"] == "True"
        assert conditions.get("NonStructuralSchema", "False") == "False"


def test_the_sample_applies_unchanged(cluster):
    """Seed 002's sample, every key and value of it."""
    name = "kubesphere-controls-system"
    cluster.kubectl(
        "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    )
    cluster.kubectl("apply", "-f", str(ROOT / "docs" / "samples" / "gateway.yaml"))
    spec = read(cluster, "mgw", "kubesphere-router-proj1", "-n", name)["spec"]
    assert spec["controller"]["config"] == {"max-bucket": "1m"}
    assert spec["controller"]["scope"] == {"enabled": False, "namespace": ""}
    assert spec["deployment"]["annotations"] == {"servicemesh.kubesphere.io/enabled": "false"}
    cluster.kubectl("delete", "mgw", "--all", "-n", name)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"controller": {"foo": 1}}, 'unknown field "spec.controller.foo"'),
        ({"sevrice": {}}, 'unknown field "spec.sevrice"'),
        ({"controller": {"tcp": {"0": "a/b:1"}}}, PORT_KEY_MESSAGE),
        ({"controller": {"tcp": {"65536": "a/b:1"}}}, PORT_KEY_MESSAGE),
        ({"controller": {"udp": {"dns": "a/b:1"}}}, PORT_KEY_MESSAGE),
        ({"controller": {"tcp": {"443": "a/b:1"}}}, "the ports 80, 443 and 10254 are the gateway's own"),
        ({"controller": {"tcp": {"8080": "b:1"}}}, PORT_TARGET_MESSAGE),
        ({"controller": {"tcp": {"8080": "a/b"}}}, PORT_TARGET_MESSAGE),
        ({"controller": {"tcp": {"8080": "a/b:1:proxy"}}}, PORT_TARGET_MESSAGE),
        ({"controller": {"udp": {"53": "a/b:1;"}}}, PORT_TARGET_MESSAGE),
        ({"controller": {"tcp": {"8080": "a/b:1\n"}}}, PORT_TARGET_MESSAGE),
        (
            {"controller": {"config": {"keep-alive": 75}}},
            "spec.controller.config.keep-alive in body must be of type string",
        ),
        ({"controller": {"scope": {"enabled": "yes"}}}, "must be of type boolean"),
        ({"controller": {"scope": {"namespace": "A"}}}, "spec.controller.scope.namespace in body should match"),
        ({"service": {"type": "ExternalName"}}, 'supported values: "LoadBalancer", "NodePort", "ClusterIP"'),
        ({"deployment": {"replicas": -1}}, "should be greater than or equal to 0"),
        (
            {"deployment": {"resources": {"limits": {"cpu": "a lot"}}}},
            "spec.deployment.resources.limits.cpu in body should match",
        ),
        ({"ingressClass": {"name": "No Name"}}, "spec.ingressClass.name in body should match"),
        ({"values": []}, "must be of type object"),
    ],
)
def test_bad_input_is_refused_with_the_field(cluster, namespace, spec, message):
    """The error is where the user looks: in what kubectl prints."""
    assert message in refusal(cluster, spec, namespace)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {},
        {"controller": {"tcp": {"8080": "a/b:1", "1": "a/b:http", "65535": "a/b:1:PROXY:PROXY", "3": "a/b:1::PROXY"}}},
        {"controller": {"udp": {"80": "kube-system/kube-dns:53"}}},
        {
            "deployment": {
                "resources": {"limits": {"cpu": 2, "memory": "1Gi"}, "requests": {"cpu": "100m"}},
                "replicas": 0,
            }
        },
        {"values": {"anything": {"goes": [1, None, {"x": True}]}}},
        {"ingressClass": {"name": "internal", "default": True}},
    ],
)
def test_good_input_is_taken(cluster, namespace, spec):
    """Numbers where Kubernetes has them, and free values."""
    cluster.kubectl("apply", "-f", "-", input=manifest(spec, namespace))
    stored = read(cluster, "mgw", "g", "-n", namespace)["spec"]
    for key, value in (spec or {}).items():
        if key != "deployment":
            assert stored[key] == value


def test_rules_stay_cheap_for_the_largest_maps(cluster, namespace):
    """256 ports are within the cost that the API server allows."""
    ports = {str(20000 + n): f"some-namespace-{n}/some-service-{n}:{n + 1}:PROXY:PROXY" for n in range(256)}
    cluster.kubectl(
        "apply", "--server-side", "-f", "-", input=manifest({"controller": {"tcp": ports, "udp": ports}}, namespace)
    )
    assert "256" in refusal(cluster, {"controller": {"tcp": ports | {"30000": "a/b:1"}}}, namespace)


def test_an_nginx_keeps_everything(cluster, namespace):
    """Its spec is a values document: nulls delete defaults, so they must survive."""
    spec = {"controller": {"resources": None, "anything": [1, {"a": None}]}}
    cluster.kubectl("apply", "--server-side", "-f", "-", input=manifest(spec, namespace, "Nginx"))
    assert read(cluster, "ngx", "g", "-n", namespace)["spec"] == spec


def set_status(cluster, namespace: str, status: dict[str, Any], kind: str = "Gateway") -> None:
    """Write a status as the operator does: server-side apply of the subresource."""
    obj = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": kind,
        "metadata": {"name": "g", "namespace": namespace},
        "status": status,
    }
    cluster.kubectl(
        "apply", "--server-side", "--subresource=status", "--field-manager=test", "-f", "-", input=json.dumps(obj)
    )


STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "scope": "Project",
    "project": "team",
    "ingressClass": "web",
    "replicas": 2,
    "readyReplicas": 2,
    "selector": "a=b",
    "address": "NodePort 30080,30443",
    "addresses": [],
    "ports": [{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}],
    "deployedRelease": {"name": "g", "namespace": "n", "revision": 3, "chart": "gateway-0.1.0", "manifest": "kept"},
    "message": "fine",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "R",
            "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": 1,
        }
    ],
}


def test_the_table_tells_scope_address_and_ready(cluster, namespace):
    """`kubectl get mgw,ngx`, and more with -o wide."""
    for kind, short in (("Gateway", "mgw"), ("Nginx", "ngx")):
        cluster.kubectl("apply", "--server-side", "-f", "-", input=manifest({}, namespace, kind))
        set_status(cluster, namespace, STATUS, kind)
        head, row = cluster.kubectl("get", short, "-n", namespace).splitlines()
        wide = cluster.kubectl("get", short, "-n", namespace, "-o", "wide").splitlines()
        assert "Project" in row
        assert "NodePort 30080,30443" in row
        assert "True" in row
        assert head.split()[-1] == "AGE"
        assert {"REVISION", "CHART", "STATUS"} <= set(wide[0].split())
        assert "gateway-0.1.0" in wide[1]
    head = cluster.kubectl("get", "mgw", "-n", namespace).splitlines()[0]
    assert head.split() == ["NAME", "SCOPE", "CLASS", "REPLICAS", "ADDRESS", "READY", "AGE"]


def test_waiting_selecting_and_the_category(cluster, namespace):
    """`kubectl wait`, field selectors and `kubectl get gateway-category` work."""
    cluster.kubectl("apply", "--server-side", "-f", "-", input=manifest({}, namespace))
    set_status(cluster, namespace, STATUS)
    cluster.kubectl("wait", "--for=condition=Ready", "mgw/g", "-n", namespace, "--timeout=10s")
    found = cluster.kubectl("get", "mgw", "-n", namespace, "--field-selector", "status.scope=Project", "-o", "name")
    assert found.strip() == f"gateway.{GROUP}/g"
    assert not cluster.kubectl("get", "mgw", "-n", namespace, "--field-selector", "status.scope=Cluster", "-o", "name")
    categories = cluster.kubectl("api-resources", "--categories=gateway", "-o", "name").split()
    assert sorted(categories) == sorted(model.crd.name for model in ALL_KINDS)


def test_status_and_spec_are_written_apart(cluster, namespace):
    """An apply of the object can't touch the status."""
    cluster.kubectl("apply", "--server-side", "-f", "-", input=manifest({}, namespace))
    set_status(cluster, namespace, STATUS)
    cluster.kubectl("apply", "--server-side", "-f", "-", input=manifest({"service": {"type": "NodePort"}}, namespace))
    stored = read(cluster, "mgw", "g", "-n", namespace)
    assert stored["status"]["scope"] == "Project"
    assert stored["metadata"]["generation"] == 2


def test_scaling(cluster, namespace):
    """`kubectl scale` reads and writes the replicas, also where the spec names none."""
    cluster.kubectl("apply", "--server-side", "-f", "-", input=manifest(None, namespace))
    cluster.kubectl("scale", "mgw/g", "-n", namespace, "--current-replicas=1", "--replicas=4")
    set_status(cluster, namespace, STATUS)
    assert read(cluster, "mgw", "g", "-n", namespace)["spec"]["deployment"]["replicas"] == 4
    scale = json.loads(
        cluster.kubectl("get", "--raw", f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/gateways/g/scale")
    )
    assert (scale["spec"]["replicas"], scale["status"]) == (4, {"replicas": 2, "selector": "a=b"})


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Return (path, description) of every field."""
    inner = schema.get("items", schema)
    for name, child in inner.get("properties", {}).items():
        if name != "metadata":
            yield f"{path}.{name}", child["description"]
            yield from fields(child, f"{path}.{name}")


@pytest.mark.parametrize("model", ALL_KINDS)
def test_kubectl_explains_every_field(cluster, model):
    """The text of each field is what kubectl prints; the API server publishes it a moment after the CRD."""
    resource, version = model.crd.plural, f"{model.crd.group}/{model.crd.version}"
    recursive = ("explain", f"{resource}.spec", f"--api-version={version}")
    deadline = time.monotonic() + 120
    while True:
        try:
            cluster.kubectl(*recursive)
            break
        except subprocess.CalledProcessError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    published = json.loads(cluster.kubectl("get", "--raw", f"/openapi/v3/apis/{version}"))
    reverse = ".".join(reversed(model.crd.group.split(".")))
    schema = published["components"]["schemas"][f"{reverse}.{model.crd.version}.{model.crd.kind}"]
    there = {path: text for path, text in fields(schema, resource) if ".status" in path or ".spec" in path}
    wanted = {
        path: text for path, text in fields(structural_schema(model), resource) if ".status" in path or ".spec" in path
    }
    assert there == wanted
