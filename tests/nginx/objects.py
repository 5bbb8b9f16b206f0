"""Kubernetes objects in one line each."""

from __future__ import annotations

import base64
import itertools
from typing import Any

from gateway_operator.ingress.snapshot import Snapshot

_count = itertools.count(1)
PREFIX = "nginx.ingress.kubernetes.io/"


def meta(name: str, namespace: str = "apps", **extra: Any) -> dict[str, Any]:
    number = next(_count)
    return {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{number:06}",
        "resourceVersion": str(number),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        **extra,
    }


def backend(service: str, port: int | str = 80) -> dict[str, Any]:
    return {"service": {"name": service, "port": {"number": port} if isinstance(port, int) else {"name": port}}}


def rule(host: str, *paths: tuple[str, str, str]) -> dict[str, Any]:
    """A rule of (path, type, service) triples."""
    found = [{"path": path, "pathType": kind, "backend": backend(service)} for path, kind, service in paths]
    return ({"host": host} if host else {}) | {"http": {"paths": found}}


def ingress(
    name: str, *rules: dict[str, Any], annotations: dict[str, str] | None = None, **kwargs: Any
) -> dict[str, Any]:
    """An Ingress; `tls` is a list of (hosts, secret), `default` a service, `created` and `namespace` its metadata."""
    spec: dict[str, Any] = {"rules": list(rules)}
    if "tls" in kwargs:
        spec["tls"] = [{"hosts": list(hosts), "secretName": secret} for hosts, secret in kwargs["tls"]]
    if "default" in kwargs:
        spec["defaultBackend"] = backend(kwargs["default"])
    data = meta(name, kwargs.get("namespace", "apps"))
    data["creationTimestamp"] = kwargs.get("created", data["creationTimestamp"])
    data["annotations"] = {PREFIX + key: value for key, value in (annotations or {}).items()}
    return {"metadata": data, "spec": spec}


def secret(name: str, chain: bytes, key: bytes, namespace: str = "apps") -> dict[str, Any]:
    data = {"tls.crt": base64.b64encode(chain).decode(), "tls.key": base64.b64encode(key).decode()}
    return {"metadata": meta(name, namespace), "type": "kubernetes.io/tls", "data": data}


def world(
    *ingresses: dict[str, Any],
    services: dict[str, Any] | None = None,
    secrets: list[dict[str, Any]] | None = None,
    config: dict[str, str] | None = None,
    namespace: str = "apps",
) -> Snapshot:
    """A snapshot; `services` maps names to a port on loopback, a list of ports, or None for no endpoints."""
    found, slices = {}, {}
    for name, ports in (services or {}).items():
        key = (namespace, name)
        numbers = [] if ports is None else ports if isinstance(ports, list) else [ports]
        found[key] = {"metadata": meta(name), "spec": {"ports": [{"name": "http", "port": 80}]}}
        slices[key] = [
            {
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": number}],
                "endpoints": [{"addresses": ["127.0.0.1"]}],
            }
            for number in numbers
        ]
    by_name = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in secrets or ()}
    return Snapshot(ingresses, found, slices, by_name, config or {})
