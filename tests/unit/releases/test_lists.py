"""Lists whose items were given other keys."""

from __future__ import annotations

from gateway_operator.releases.lists import disown, patch_of, rekeyed

WANTED = {"spec": {"ports": [{"name": "http", "port": 80}, {"name": "https", "port": 443}]}}


def service(*ports):
    """A Service with these ports."""
    return {"metadata": {"resourceVersion": "7"}, "spec": {"ports": list(ports)}}


HTTP81 = {"name": "http", "port": 81, "nodePort": 30080}
HTTPS = {"name": "https", "port": 443, "nodePort": 30443}


def test_changed_port_number_is_put_back_with_its_node_port():
    """The API server refuses the apply (two ports of one name); the address of users stays."""
    [(at, items)] = rekeyed(WANTED, service(HTTP81, HTTPS), None)
    assert at == "/spec/ports"
    assert items == [{"name": "http", "port": 80, "nodePort": 30080}, {"name": "https", "port": 443, "nodePort": 30443}]
    assert patch_of([(at, items)], "7") == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "replace", "path": "/spec/ports", "value": items},
    ]


def test_unnamed_port_goes_by_its_place():
    """The apply would give both numbers."""
    wanted = {"spec": {"ports": [{"port": 80}]}}
    after = service({"port": 80}, {"port": 81})
    assert rekeyed(wanted, service({"port": 81}), after) == [("/spec/ports", [{"port": 80}])]


def test_apply_that_works_alone_is_left_alone():
    """A changed field of an item needs no more than the apply."""
    wanted = {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "a"}]}}
    live = service({"name": "http", "port": 80, "targetPort": "b"})
    assert rekeyed(wanted, live, service({"name": "http", "port": 80, "targetPort": "a"})) == []


def test_added_items_and_other_lists_are_left_alone():
    """An added port is no changed one; arguments have no keys."""
    assert rekeyed(WANTED, service(HTTPS, {**HTTP81, "port": 80}, {"name": "x", "port": 1}), None) == []
    assert rekeyed({"args": ["a"]}, {"args": ["b"]}, {"args": ["a", "b"]}) == []


def test_ownership_of_the_patch_is_given_up():
    """Else the next upgrade could not remove the item."""
    obj = {"metadata": {"resourceVersion": "8", "managedFields": [{"manager": "helm"}, {"manager": "me"}]}}
    assert disown(obj, "me")[1:] == [{"op": "remove", "path": "/metadata/managedFields/1"}]
    assert disown(obj, "nobody") == []
