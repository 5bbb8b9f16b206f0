"""What helm prints, and what it means. The lines are Helm 3.22's and Helm 4.3's own."""

from __future__ import annotations

import pytest

from gateway_operator.releases import helm_errors as e

CASES = [
    # rendering
    ("Error: execution error at (web/templates/objects.yaml:1:25): the chart says no", e.RenderFailed),
    (
        "Error: UPGRADE FAILED: template: web/templates/a.yaml:3:4: at <.Values.x>: nil",
        e.RenderFailed,
    ),
    (
        "Error: INSTALLATION FAILED: YAML parse error on web/templates/a.yaml: error converting YAML to JSON",
        e.RenderFailed,
    ),
    ("Error: INSTALLATION FAILED: parse error at (web/templates/a.yaml:1): unclosed action", e.RenderFailed),
    # values
    (
        (
            "Error: values don't meet the specifications of the schema(s) in the following chart(s):\nweb:\n"
            "- at '/text': got number, want string"
        ),
        e.ValuesRefused,
    ),
    # objects
    (
        (
            'Error: UPGRADE FAILED: cannot patch "a" with kind Deployment: Deployment.apps "a" is invalid: '
            "spec.selector: Invalid value: ...: field is immutable"
        ),
        e.ObjectRefused,
    ),
    (
        (
            "Error: failed to create resource: server-side apply failed for object ns/a /v1, Kind=Service: "
            'Service "a" is invalid: spec.ports[0].port: Invalid value: 99999999'
        ),
        e.ObjectRefused,
    ),
    (
        (
            "Error: INSTALLATION FAILED: unable to build kubernetes objects from release manifest: resource mapping "
            'not found for name: "x" namespace: "" from "": no matches for kind "Nginx" in version "g/v1"'
        ),
        e.ObjectRefused,
    ),
    ('Error: admission webhook "v.example.com" denied the request: no', e.ObjectRefused),
    (
        (
            "Error: server-side apply failed for object ns/odd /v1, Kind=Service: failed to create typed patch object "
            "(ns/odd; /v1, Kind=Service): .spec.bogus: field not declared in schema"
        ),
        e.ObjectRefused,
    ),
    ('Error: no revision for release "a"', e.NoDeployedRelease),
    ("Error: no release provided", e.ReleaseNotFound),
    # ownership
    (
        (
            'Error: INSTALLATION FAILED: Unable to continue with install: Service "a" in namespace "ns" exists and '
            "cannot be imported into the current release: invalid ownership metadata; label validation error"
        ),
        e.NotOwned,
    ),
    (
        (
            "Error: conflict occurred while applying object ns/a /v1, Kind=Service: Apply failed with 1 conflict: "
            'conflict with "kubectl-edit" using v1: .spec.ports'
        ),
        e.FieldConflict,
    ),
    # state of releases
    ("Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress", e.PendingOperation),
    ("Error: INSTALLATION FAILED: cannot re-use a name that is still in use", e.PendingOperation),
    ('Error: UPGRADE FAILED: "a" has no deployed releases', e.NoDeployedRelease),
    ("Error: uninstall: Release not loaded: a: release: not found", e.ReleaseNotFound),
    # the cluster
    (
        'Error: INSTALLATION FAILED: clusterroles.rbac.authorization.k8s.io is forbidden: User "u" cannot create x',
        e.HelmForbidden,
    ),
    ('Error: create: failed to create: namespaces "ns" not found', e.NamespaceMissing),
    (
        (
            'Error: create: failed to create: secrets "x" is forbidden: unable to create new content in namespace ns '
            "because it is being terminated"
        ),
        e.NamespaceMissing,
    ),
    (
        (
            'Error: Kubernetes cluster unreachable: Get "https://127.0.0.1:1/version": dial tcp 127.0.0.1:1: connect: '
            "connection refused"
        ),
        e.Unreachable,
    ),
    ("Error: UPGRADE FAILED: etcdserver: request timed out", e.Unreachable),
    ("Error: UPGRADE FAILED: context canceled", e.HelmCancelled),
    ("Error: INSTALLATION FAILED: failed pre-install: timed out waiting for the condition", e.HelmTimeout),
    (
        (
            'Error: create: failed to create: Secret "sh.helm.release.v1.a.v1" is invalid: data: Too long: may not be '
            "more than 1048576 bytes"
        ),
        e.ReleaseTooLarge,
    ),
    ("Error: something nobody has seen", e.HelmError),
]


@pytest.mark.parametrize(("stderr", "kind"), CASES)
def test_classes(stderr, kind):
    """Each line has one meaning."""
    assert type(e.classify(stderr)) is kind


def test_warnings_and_prefixes_are_no_reason():
    """People read the condition, not helm's log."""
    stderr = (
        "WARNING: Kubernetes configuration file is group-readable\n"
        'level=WARN msg="unable to find exact version"\nW1121 04:00:00.000 warnings.go:70] deprecated\n'
        "Error: UPGRADE FAILED: template: a:1:2: no\n  more"
    )
    assert str(e.classify(stderr)) == "template: a:1:2: no more"


def test_long_reasons_are_cut():
    """A condition's message is bounded."""
    assert len(str(e.classify("Error: " + "x" * 5000))) == e.MESSAGE_LIMIT


def test_silence_is_told():
    """A helm that was killed says nothing."""
    assert str(e.classify("")) == "helm said nothing"


def test_what_passes_by_itself_is_tried_soon():
    """And what lies in the inputs is not."""
    assert not e.Unreachable("").lasting
    assert not e.HelmForbidden("").lasting
    assert e.RenderFailed("").lasting
