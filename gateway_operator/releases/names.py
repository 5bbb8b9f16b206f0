"""Labels, annotations and names that bind releases, their records and their objects together."""

from __future__ import annotations

import hashlib
import re

GROUP = "gateway.kubesphere.io"
OWN_GROUPS = frozenset({GROUP, "k8s.nginx.org"})

FINALIZER = f"{GROUP}/helm-release"
PEER_FINALIZERS = ("helm.sdk.operatorframework.io/uninstall-release", "uninstall-helm-release")
FINALIZERS = (FINALIZER, *PEER_FINALIZERS)

STATUS_MANAGER = "gateway-operator-status"
DRIFT_MANAGER = "gateway-operator-drift"
HELM_MANAGER = "helm"  # helm 4 applies under its argv[0]

# Labels that we put on release records (the Secrets of Helm).
DIGEST_LABEL = f"{GROUP}/digest"
HOLDER_LABEL = f"{GROUP}/holder"
OWNER_LABEL = f"{GROUP}/owner"
CHART_LABEL = f"{GROUP}/chart"  # the start of the digest of the chart's content
# Helm copies labels from revision to revision, also when somebody else runs it: only a record whose number is in
# this label was made by us.
REVISION_LABEL = f"{GROUP}/revision"
ROLLED_BACK_LABEL = f"{GROUP}/rolled-back-to"  # on what a rollback of ours made
INTENT_LABEL = f"{GROUP}/rolls-back"  # on what a rollback of ours leaves: `<revision it makes>.<revision it copies>`

# On releases whose values hold traffic, which changes by itself.
BASE_LABEL = f"{GROUP}/base-digest"  # digest of all inputs but the traffic
TRAFFIC_LABEL = f"{GROUP}/traffic"  # digest of the traffic
CAUSE_LABEL = f"{GROUP}/cause"  # "traffic" on a revision that differs from the one before by its traffic alone
TRAFFIC = "traffic"

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY_HELM = f"{MANAGED_BY}=Helm"
KEEP_POLICY = "helm.sh/resource-policy"
RELEASE_NAME = "meta.helm.sh/release-name"
RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"

_LABEL_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def label_value(text: str) -> str:
    """Return `text`, or a hash of it where it is no valid label value."""
    return text if _LABEL_VALUE.fullmatch(text) else hashlib.sha256(text.encode()).hexdigest()[:40]


def owner_value(group: str, kind: str, name: str) -> str:
    """Name the custom resource that a release belongs to, as a label value."""
    return label_value(f"{kind}.{group}.{name}" if group else f"{kind}.{name}")
