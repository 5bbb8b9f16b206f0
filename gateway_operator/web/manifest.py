"""From what a client sends to the Gateway that is written: names, scope and creator are the server's word. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from gateway_operator.crds.base import API_VERSION
from gateway_operator.gateways.claims import CLUSTER, claim_of, mapping
from gateway_operator.settings import GatewaySettings
from gateway_operator.web.actions import CLUSTER_URL_NAMESPACE
from gateway_operator.web.gateways import default_name
from gateway_operator.web.problems import Problem
from gateway_operator.web.views import CREATOR

Object = dict[str, Any]
_READ_ONLY = frozenset({"loadBalancer", "service"})


def created(body: Object, namespace: str, creator: str, settings: GatewaySettings) -> Object:
    """Return the Gateway to create. Raises Problem 422."""
    meta = _checked(body)
    is_cluster = namespace == CLUSTER_URL_NAMESPACE
    home = settings.cluster_gateway_namespace if is_cluster else settings.namespace or namespace
    name = str(meta.get("name") or "") if is_cluster else ""
    annotations = {**(meta.get("annotations") or {}), CREATOR: creator}
    made = {
        "apiVersion": API_VERSION,
        "kind": "Gateway",
        "metadata": {
            "name": name or default_name(namespace),
            "namespace": home,
            "labels": meta.get("labels") or {},
            "annotations": annotations,
        },
        "spec": copy.deepcopy(body.get("spec") or {}),
    }
    return scoped(made, namespace)


def owned(gateway: Object, project: Object) -> Object:
    """Bind a Gateway to its project, a Namespace: Kubernetes deletes it with that very one.

    Without this it would serve a later project of the same name (kubesphere/kubesphere#4397).
    """
    meta = project["metadata"]
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": meta["name"], "uid": meta["uid"]}
    return {**gateway, "metadata": {**gateway["metadata"], "ownerReferences": [owner]}}


def replaced(current: Object, body: Object, namespace: str) -> Object:
    """Return the current Gateway with what a client's whole object says. Raises Problem 409 or 422."""
    meta = _checked(body)
    if meta.get("uid") and meta["uid"] != current["metadata"]["uid"]:
        raise Problem(409, "OtherObject", "metadata.uid is of another Gateway of this name, which is gone")
    version = meta.get("resourceVersion")
    if not version:
        raise Problem(422, "NoResourceVersion", "metadata.resourceVersion must be the one that was read; or use PATCH")
    return scoped(_with(current, meta, body.get("spec") or {}, str(version)), namespace)


def patched(current: Object, patch: Object, namespace: str) -> Object:
    """Return the current Gateway with a merge patch (RFC 7386). Raises Problem 422."""
    shown = {key: current.get(key) for key in ("apiVersion", "kind", "metadata", "spec")}
    body = merge_patch(shown, {key: value for key, value in patch.items() if key != "status"})
    meta = _checked(body)
    version = mapping(patch, "metadata").get("resourceVersion") or current["metadata"]["resourceVersion"]
    return scoped(_with(current, meta, body.get("spec") or {}, str(version)), namespace)


def scoped(gateway: Object, namespace: str) -> Object:
    """Give a project's gateway the scope of its URL; the cluster's keeps a scope of all namespaces.

    Raises Problem 422.
    """
    spec = gateway["spec"]
    controller = spec.get("controller") if spec.get("controller") is not None else {}
    if not isinstance(controller, dict):
        raise Problem(422, "Invalid", "spec.controller must be an object")
    if namespace != CLUSTER_URL_NAMESPACE:
        spec["controller"] = {**controller, "scope": {"enabled": True, "namespace": namespace}}
    elif claim_of(gateway).scope != CLUSTER:
        text = "the cluster's gateway serves all namespaces: leave spec.controller.scope out, or use the project's URL"
        raise Problem(422, "ScopeMismatch", text)
    return gateway


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply RFC 7386: maps merge, null deletes, all else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def _with(current: Object, meta: Mapping[str, Any], spec: Any, version: str) -> Object:
    creator = mapping(current, "metadata", "annotations").get(CREATOR)
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key != CREATOR}
    kept = {key: current["metadata"][key] for key in current["metadata"] if key not in {"managedFields", "labels"}}
    return {
        **current,
        "metadata": {
            **kept,
            "resourceVersion": version,
            "labels": meta.get("labels") or {},
            "annotations": {**annotations, **({CREATOR: creator} if creator else {})},
        },
        "spec": copy.deepcopy(spec),
    }


def _checked(body: Object) -> Mapping[str, Any]:
    """Check the outline of a client's Gateway and return its metadata; the schema is the API server's to check."""
    if body.get("kind") not in {None, "", "Gateway"} or body.get("apiVersion") not in {None, "", API_VERSION}:
        raise Problem(422, "WrongKind", f"must be a Gateway of {API_VERSION}")
    for field in ("metadata", "spec"):
        if not isinstance(body.get(field) or {}, dict):
            raise Problem(422, "Invalid", f"{field} must be an object")
    meta: Mapping[str, Any] = body.get("metadata") or {}
    for field in ("labels", "annotations"):
        texts = meta.get(field) or {}
        if not isinstance(texts, dict) or not all(isinstance(value, str) for value in texts.values()):
            raise Problem(422, "Invalid", f"metadata.{field} must map texts to texts")
    for field in ("name", "resourceVersion", "uid"):
        if not isinstance(meta.get(field) or "", str):
            raise Problem(422, "Invalid", f"metadata.{field} must be a text")
    return meta
