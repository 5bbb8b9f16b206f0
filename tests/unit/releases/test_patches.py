"""Patches that remove, and those that put a place right as a whole."""

from __future__ import annotations

from gateway_operator.releases.patches import belong_together, disown, removal, rewrite
from managed import entry, managed

WANTED = {"spec": {"ports": [{"name": "http", "port": 80}, {"name": "https", "port": 443}], "selector": {"a": "b"}}}
TEST = {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
HTTP81 = {"name": "http", "port": 81, "nodePort": 30080}
HTTPS = {"name": "https", "port": 443, "nodePort": 30443}


def service(*ports, **spec):
    """A Service with these ports."""
    return managed({"spec": {"ports": list(ports), "selector": {"a": "b"}, **spec}})


def rewritten(wanted, live, added):
    """The patch, one field having been added."""
    return rewrite(wanted, live, [added], live)


def test_removal_goes_from_the_end_of_a_list():
    """An index must still be right when its turn comes."""
    added = [("spec", "ports", "2"), ("spec", "ports", "10"), ("metadata", "labels", "a/b")]
    assert [op["path"] for op in removal(service(), added)] == [
        "/metadata/resourceVersion",
        "/spec/ports/10",
        "/spec/ports/2",
        "/metadata/labels/a~1b",
    ]


def test_replaced_things_belong_together():
    """A port for a port, a volume's source for another; keys of data don't depend on each other."""
    assert belong_together([("spec", "ports", "0")], [("spec", "ports", "-")])
    assert belong_together([("spec", "volumes", "0", "emptyDir")], [("spec", "volumes", "0", "configMap")])
    assert not belong_together([("data", "x")], [("data", "y")])
    assert not belong_together([("spec", "x")], [("spec", "y")])
    assert not belong_together([("spec", "a", "x")], [("spec", "b")])


def test_changed_port_number_is_put_back_with_its_node_port():
    """The address of users stays."""
    patch = rewritten(WANTED, service(HTTP81, HTTPS), ("spec", "ports", "0"))
    assert patch[0] == TEST
    [change] = patch[1:]
    assert change["value"]["ports"] == [{"name": "http", "port": 80, "nodePort": 30080}, HTTPS]


def test_unnamed_port_goes_by_its_place():
    """There is nothing else to know it by."""
    wanted = {"spec": {"ports": [{"port": 80}]}}
    [_, change] = rewritten(wanted, service({"port": 81, "nodePort": 30081}), ("spec", "ports", "0"))
    assert change["value"]["ports"] == [{"port": 80, "nodePort": 30081}]


def test_rewrite_keeps_what_others_have_in_the_same_place():
    """Items and fields that neither the chart has nor people added."""
    live = service({**HTTPS, "injected": 1}, {"name": "more", "port": 1}, {"name": "mine", "port": 2}, default=True)
    [_, change] = rewritten(WANTED, live, ("spec", "ports", "2"))
    assert change["path"] == "/spec"
    assert change["value"]["ports"] == [
        {"name": "http", "port": 80},
        {**HTTPS, "injected": 1},
        {"name": "more", "port": 1},
    ] or change["value"]["ports"][0] == {"name": "http", "port": 80, "nodePort": 30443}
    assert change["value"]["default"] is True


def test_rewrite_changes_the_source_of_a_volume_at_once():
    """A volume has exactly one."""
    wanted = {"spec": {"volumes": [{"name": "v", "configMap": {"name": "x"}}]}}
    live = managed({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}})
    [_, change] = rewritten(wanted, live, ("spec", "volumes", "0", "emptyDir"))
    assert change["value"] == wanted["spec"]


def test_ownership_of_the_patch_is_given_up():
    """Else the next upgrade could not remove the item."""
    obj = managed({}, entry("helm", {}), entry("me", {}))
    assert disown(obj, "me") == [TEST, {"op": "remove", "path": "/metadata/managedFields/1"}]
    assert disown(obj, "nobody") == []
