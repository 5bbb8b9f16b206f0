"""What differs from a chart, and what of that counts."""

from __future__ import annotations

import pytest

from gateway_operator.releases.comparison import compare, stands
from gateway_operator.releases.drift_rules import IgnoreRule
from managed import entry, managed

WANTED = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "a", "namespace": "ns", "labels": {"app": "a"}},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "main", "image": "one", "args": ["x"]}]}}},
}
MAIN = 'k:{"name":"main"}'


def at(tree, *path):
    """A fieldsV1 tree with `tree` at a path."""
    for part in reversed(path):
        tree = {part if ":" in part else f"f:{part}": tree}
    return tree


CONTAINERS = ("spec", "template", "spec", "containers")
HELM = entry(
    "helm",
    at({"f:image": {}, "f:args": {}, "f:name": {}}, *CONTAINERS, MAIN)
    | {"f:metadata": at({}, "labels", "app")}
    | {"f:spec": {"f:replicas": {}, **at({"f:image": {}, "f:args": {}, "f:name": {}}, *CONTAINERS[1:], MAIN)}},
)


def live(*entries, spec=None, container=None, more=(), **meta):
    """The Deployment as it is, with what was done to it."""
    main = {"name": "main", "image": "one", "args": ["x"], "imagePullPolicy": "Always", **(container or {})}
    pod = {"containers": [main, *more]}
    body = {"replicas": 2, "revisionHistoryLimit": 10, "template": {"spec": pod}, **(spec or {})}
    made = {**WANTED, "spec": body, "metadata": {"name": "a", "labels": {"app": "a"}, **meta}}
    return managed(made, *entries)


def test_defaults_are_no_drift():
    """Nobody owns what the API server filled in."""
    assert not compare(WANTED, live(HELM)).differs


@pytest.mark.parametrize(
    ("tree", "change", "added"),
    [
        (at({}, "spec", "minReadySeconds"), {"spec": {"minReadySeconds": 5}}, ("spec", "minReadySeconds")),
        (
            at({".": {}, 'k:{"name":"A"}': {".": {}, "f:name": {}}}, *CONTAINERS, MAIN, "env"),
            {"container": {"env": [{"name": "A"}]}},
            (*CONTAINERS, "0", "env"),
        ),
        (
            at({".": {}, "f:name": {}}, *CONTAINERS, 'k:{"name":"x"}'),
            {"more": [{"name": "x", "image": "y"}]},
            (*CONTAINERS, "1"),
        ),
        (at({}, "metadata", "labels", "x"), {"labels": {"app": "a", "x": "y"}}, ("metadata", "labels", "x")),
    ],
)
def test_what_people_add_counts(tree, change, added):
    """As one field, the topmost that the chart doesn't have; a controller's or Helm's doesn't count."""
    found = compare(WANTED, live(HELM, entry("kubectl-edit", tree), **change))
    assert (found.added, found.certain) == ((added,), True)
    assert not compare(WANTED, live(HELM, entry("my-controller", tree), **change)).differs
    both = live(HELM, entry("kubectl-edit", tree), entry("my-controller", tree), **change)
    assert not compare(WANTED, both).differs


def test_a_map_of_several_owners_is_taken_apart():
    """Of labels that a person and a controller added, one goes."""
    labels = {"mine": "1", "theirs": "2"}
    found = compare(
        WANTED,
        live(
            HELM,
            entry("kubectl", at({".": {}, "f:mine": {}}, "metadata", "labels")),
            entry("my-controller", at({"f:theirs": {}}, "metadata", "labels")),
            labels=labels,
        ),
    )
    assert found.added == (("metadata", "labels", "mine"),)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("finalizers", 'v:"x"', ["x"]),
        ("annotations", "team.example.com/note", {"team.example.com/note": "mine"}),
        ("annotations", "gateway.kubesphere.io/paused", {"gateway.kubesphere.io/paused": "true"}),
        ("annotations", "deployment.kubernetes.io/revision", {"deployment.kubernetes.io/revision": "2"}),
    ],
)
def test_what_never_counts(part, key, value):
    """Whoever owns it."""
    tree = {"f:metadata": {f"f:{part}": {key if key.startswith("v:") else f"f:{key}": {}}}}
    assert not compare(WANTED, live(HELM, entry("kubectl-edit", tree), **{part: value})).differs


def test_a_restart_by_kubectl_is_left_alone_among_other_annotations():
    """Putting it back would roll the pods a second time."""
    at_annotations = ("spec", "template", "metadata", "annotations")
    restarted = "kubectl.kubernetes.io/restartedAt"
    template = {"metadata": {"annotations": {restarted: "now", "mine": "1"}}}
    tree = at({".": {}, f"f:{restarted}": {}, "f:mine": {}}, *at_annotations)
    body = {"template": {**template, "spec": WANTED["spec"]["template"]["spec"]}}
    found = compare(WANTED, live(HELM, entry("kubectl-rollout", tree), spec=body))
    assert found.added == ((*at_annotations, "mine"),)


def test_replicas_of_an_autoscaler_are_left_alone():
    """Also in what is applied: else the apply would take them back. `kubectl scale` is drift."""
    scaled = at({}, "spec", "replicas")
    helm = entry("helm", at({}, "metadata", "labels", "app"))
    hpa = live(helm, entry("kube-controller-manager", scaled, subresource="scale"), spec={"replicas": 5})
    found = compare(WANTED, hpa)
    assert "replicas" not in found.wanted["spec"]
    assert not found.gaps
    person = compare(WANTED, live(helm, entry("kubectl", scaled, subresource="scale"), spec={"replicas": 5}))
    assert person.gaps == (("spec", "replicas"),)
    assert person.certain


def test_a_chart_without_replicas_leaves_them_to_people_too():
    """One would be the default: a scaled workload would lose its pods."""
    wanted = {**WANTED, "spec": {"template": WANTED["spec"]["template"]}}
    tree = at({}, "spec", "replicas")
    assert not compare(wanted, live(HELM, entry("kubectl-edit", tree), spec={"replicas": 5})).differs


def test_ignored_paths_keep_what_is_there():
    """A field that Helm owns is applied with its live value, for what nobody owns would be removed."""
    rules = [IgnoreRule(paths=("/spec/template/spec/containers/*/image", "/metadata/labels/team*"))]
    tree = at({}, *CONTAINERS, MAIN, "image")
    changed = live(HELM, entry("kubectl-set", tree), container={"image": "two", "args": ["y"]})
    found = compare(WANTED, changed, rules)
    assert found.gaps == ((*CONTAINERS, "0", "args"),)
    assert found.wanted["spec"]["template"]["spec"]["containers"][0]["image"] == "two"
    labels = {"app": "a", "team-x": "blue"}
    added = live(HELM, entry("kubectl-label", at({}, "metadata", "labels", "team-x")), labels=labels)
    assert not compare(WANTED, added, rules).differs


def test_a_manager_named_by_a_rule_is_left_alone():
    """What it added and what it changed."""
    tree = at({}, *CONTAINERS, MAIN, "image") | at({}, "metadata", "labels", "x")
    changed = live(entry("updater", tree), container={"image": "two"}, labels={"app": "a", "x": "y"})
    assert compare(WANTED, changed).added
    assert not compare(WANTED, changed, [IgnoreRule(managers=("upd*",))]).differs


def test_an_indivisible_list_that_grew_is_put_back_by_an_apply():
    """Items of it can't be removed one by one."""
    wanted = {
        "apiVersion": "example.com/v1",
        "kind": "Child",
        "metadata": {"name": "a"},
        "spec": {"l": [{"name": "x"}]},
    }
    grown = {**wanted, "spec": {"l": [{"name": "x"}, {"name": "y"}]}}
    found = compare(wanted, managed(grown, entry("kubectl-edit", at({}, "spec", "l"))))
    assert (found.gaps, found.added) == ((("spec", "l"),), ())


def test_ownership_alone_proves_that_an_object_is_right():
    """No request is needed where Helm still owns everything."""
    trees = [HELM["fieldsV1"]]
    assert stands(WANTED, trees, [])
    assert not stands({**WANTED, "spec": {**WANTED["spec"], "paused": True}}, trees, [])
    assert not stands(WANTED, [], [])
