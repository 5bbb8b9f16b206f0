"""What the cluster half keeps of Nginx objects, and where their gateways are. Pure."""

from __future__ import annotations

from typing import Any

from gateway_operator.names import release_name

Object = dict[str, Any]


def slim(nginx: Object) -> Object:
    """Keep of an Nginx what says whom it serves and with which image."""
    meta, spec = nginx["metadata"], nginx.get("spec") or {}
    controller = spec.get("controller") if isinstance(spec, dict) else None
    words = ("scope", "ingressClassResource", "ingressClass", "watchIngressWithoutClass", "image", "dataPlane")
    slim = {word: controller[word] for word in words if word in controller} if isinstance(controller, dict) else {}
    kept = {key: meta[key] for key in ("name", "namespace", "resourceVersion", "deletionTimestamp") if key in meta}
    release = ((nginx.get("status") or {}).get("deployedRelease") or {}).get("name") or ""
    return {"metadata": kept, "spec": {"controller": slim}, "release": release}


def release_of(nginx: Object) -> str:
    """Return the name of the release that runs the gateway."""
    return str(nginx["release"] or release_name(nginx["metadata"]["name"]))
