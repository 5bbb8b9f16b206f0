"""Node ports as text: read from a status, written on an object, turned into values; nonsense says nothing."""

from __future__ import annotations

import pytest

from gateway_operator.gateways import node_ports
from gateway_operator.gateways.claims import claim_of
from gateway_operator.releases.gateway_values import gateway_values
from gateway_operator.releases.gateways import GatewayKind
from gateway_operator.settings import GatewaySettings

SETTINGS = GatewaySettings.model_validate({})
PORTS = [
    {"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"},
    {"name": "https", "port": 443, "nodePort": 30443},
    {"name": "9000-tcp", "port": 9000, "nodePort": 31000, "protocol": "TCP"},
    {"name": "53-udp", "port": 53, "nodePort": 31053, "protocol": "UDP"},
    {"name": "other", "port": 1},
]
TEXT = "http=30080,https=30443,tcp/9000=31000,udp/53=31053"


def gateway(text=None, **spec):
    """Return a cluster's Gateway with the annotation."""
    annotations = {} if text is None else {node_ports.ANNOTATION: text}
    return {"metadata": {"name": "g", "namespace": "n", "uid": "u", "annotations": annotations}, "spec": spec}


def test_there_and_back():
    """What a status tells is what the chart is asked for."""
    ports = node_ports.told({"ports": PORTS})
    assert node_ports.text_of(ports) == TEXT
    assert node_ports.parse(TEXT) == (ports, [])
    chosen = node_ports.values_of(ports)["controller"]["service"]["nodePorts"]
    assert chosen == {"http": 30080, "https": 30443, "tcp": {"9000": 31000}, "udp": {"53": 31053}}


@pytest.mark.parametrize("part", ["http", "http=", "http=0", "http=65536", "http=3e4", "smtp=30025", "tcp/x=30000",
                                  "sctp/9=30009", "http=-1", "http=٣", "tcp/=1"])  # fmt: skip
def test_nonsense_is_named_and_says_nothing(part):
    """Whoever writes the annotation by hand is told what of it has no effect."""
    assert node_ports.parse(f"https=30443,{part}") == ({"https": 30443}, [part])
    notices = GatewayKind().plan(gateway(part), [], SETTINGS, installed=False).notices
    assert any(part in notice.message and notice.reason == "FieldIgnored" for notice in notices)


def test_the_spec_wins():
    """Ports that a user asks for are not replaced; a Gateway without the annotation has the values of before."""
    own = {"controller": {"service": {"nodePorts": {"http": 32000}}}}
    obj = gateway("http=30080,https=30443", values=own)
    values = gateway_values(obj, claim_of(obj), (), SETTINGS)["values"]
    assert values["controller"]["service"]["nodePorts"] == {"http": 32000, "https": 30443}
    bare = gateway()
    assert "values" not in gateway_values(bare, claim_of(bare), (), SETTINGS)


def test_what_others_have_is_parted():
    """Ports that are taken are not asked for."""
    assert node_ports.without({"http": 1, "https": 2}, {2}) == ({"http": 1}, {"https": 2})
