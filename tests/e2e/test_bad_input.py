"""Bad input gets its error where the user looks, and its neighbours go on serving."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
import yaml

from lab.demo.target import Target
from lab.errors import LabError
from tests.e2e import objects as o

GATEWAY = "kubesphere-router-all"


@pytest.fixture(scope="module")
def served(target: Target) -> Iterator[Target]:
    """A cluster gateway with a project that is served; each test has names of its own and leaves both as they are."""
    o.project(target, "shop")
    target.kubectl("apply", "-f", "-", text=o.gateway(GATEWAY))
    o.ready(target, GATEWAY)
    o.answered(target, o.route(target, GATEWAY, "shop"))
    yield target
    o.remove_all(target)


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


def test_unknown_field_and_bad_port_mapping_are_named(target: Target) -> None:
    """kubectl says which field is wrong; nothing is stored."""
    with pytest.raises(LabError, match="spec.colour"):
        target.kubectl("apply", "--validate=strict", "-f", "-", text=o.gateway("wrong", colour="red"))
    with pytest.raises(LabError, match="tcp"):
        target.kubectl("apply", "-f", "-", text=o.gateway("wrong", controller={"tcp": {"8080": "nonsense"}}))
    assert not target.get("mgw", "wrong", "-n", o.WORKING)


def test_config_value_that_nginx_would_refuse(served: Target) -> None:
    """The Gateway says which key is wrong, and the last good configuration serves on."""
    served.kubectl("apply", "-f", "-", text=o.gateway(GATEWAY, controller={"config": {"proxy-body-size": "1m; evil"}}))
    served.wait("the refusal", lambda: "ConfigInvalid" in str(o.conditions(served, "mgw", GATEWAY)))
    assert "proxy-body-size" in str(o.conditions(served, "mgw", GATEWAY))
    o.answered(served, o.route(served, GATEWAY, "shop"))
    served.kubectl("apply", "-f", "-", text=o.gateway(GATEWAY))
    served.wait("its end", lambda: "ConfigInvalid" not in str(o.conditions(served, "mgw", GATEWAY)))


PATHS = {"semicolon": "/a;b", "brace": "/a}b", "newline": "/a\nb", "quote": '/a"b', "dollar": "/a$b"}


def test_paths_that_would_be_configuration(served: Target) -> None:
    """Such a path is left out and an Event on its Ingress says so; the neighbour is served."""
    found = [ingress(what, f"{what}.example.com", path) for what, path in PATHS.items()]
    served.kubectl("apply", "-f", "-", text="---\n".join(found))
    for what in PATHS:
        served.wait(f"the Event of {what}", lambda what=what: _warned(served, what))
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
    served.wait("the Event", lambda: _warned(served, "secure"))
    o.answered(served, o.route(served, GATEWAY, "shop"))


def _warned(target: Target, name: str) -> bool:
    return bool(target.items("events", "-n", "shop", "--field-selector", f"involvedObject.name={name},type=Warning"))
