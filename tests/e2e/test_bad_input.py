"""Bad input gets its error where the user looks, and its neighbours go on serving."""

from __future__ import annotations

import base64

import pytest
import yaml

from lab.demo.target import Target
from lab.errors import LabError
from tests.e2e import objects as o

GATEWAY = "kubesphere-router-all"


@pytest.fixture
def served(clean: Target) -> Target:
    """A cluster gateway with a project that is served."""
    o.project(clean, "shop")
    clean.kubectl("apply", "-f", "-", text=o.gateway(GATEWAY))
    o.ready(clean, GATEWAY)
    o.answered(clean, o.route(clean, GATEWAY, "shop"))
    return clean


def ingress(name: str, host: str, path: str = "/", **spec: object) -> str:
    backend = {"service": {"name": "shop", "port": {"name": "http"}}}
    rule = {"host": host, "http": {"paths": [{"path": path, "pathType": "ImplementationSpecific", "backend": backend}]}}
    return yaml.safe_dump(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"rules": [rule], **spec},
        }
    )


def test_unknown_field_and_bad_port_mapping_are_named(clean: Target) -> None:
    """kubectl says which field is wrong; nothing is stored."""
    with pytest.raises(LabError, match="spec.colour"):
        clean.kubectl("apply", "--validate=strict", "-f", "-", text=o.gateway("wrong", colour="red"))
    with pytest.raises(LabError, match="tcp"):
        clean.kubectl("apply", "-f", "-", text=o.gateway("wrong", controller={"tcp": {"8080": "nonsense"}}))
    assert not clean.get("mgw", "wrong", "-n", o.WORKING)


def test_config_value_that_nginx_would_refuse(served: Target) -> None:
    """The Gateway says which key is wrong, and the last good configuration serves on."""
    served.kubectl("apply", "-f", "-", text=o.gateway(GATEWAY, controller={"config": {"proxy-body-size": "1m; evil"}}))
    served.wait("the refusal", lambda: "ConfigInvalid" in str(o.conditions(served, "mgw", GATEWAY)), 30)
    assert "proxy-body-size" in str(o.conditions(served, "mgw", GATEWAY))
    o.answered(served, o.route(served, GATEWAY, "shop"))


@pytest.mark.parametrize("path", ["/a;b", "/a}b", "/a\nb", '/a"b', "/a$b"])
def test_paths_that_would_be_configuration(served: Target, path: str) -> None:
    """Such a path is left out and an Event on the Ingress says so; the neighbour is served."""
    served.kubectl("apply", "-f", "-", text=ingress("evil", "evil.example.com", path))
    served.wait("the Event", lambda: _warned(served, "evil"), 30)
    o.answered(served, o.route(served, GATEWAY, "shop"))


def test_tls_secret_with_a_bad_pair(served: Target) -> None:
    """A broken certificate is told on the Ingress, whose host is still served with the default one."""
    data = {key: base64.b64encode(b"no PEM").decode() for key in ("tls.crt", "tls.key")}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "bad", "namespace": "shop"},
        "data": data,
    }
    served.kubectl("apply", "-f", "-", text=yaml.safe_dump(secret))
    tls = [{"hosts": ["secure.example.com"], "secretName": "bad"}]
    served.kubectl("apply", "-f", "-", text=ingress("secure", "secure.example.com", tls=tls))
    served.wait("the Event", lambda: _warned(served, "secure"), 30)
    o.answered(served, o.route(served, GATEWAY, "shop"))


def _warned(target: Target, name: str) -> bool:
    found = target.get("events", "-n", "shop", "--field-selector", f"involvedObject.name={name},type=Warning")
    return bool(found.get("items"))
