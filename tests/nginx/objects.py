"""Kubernetes objects in one line each."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable, Mapping
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
    data["annotations"] = {key if "/" in key else PREFIX + key: value for key, value in (annotations or {}).items()}
    return {"metadata": data, "spec": spec}


def secret(name: str, chain: bytes, key: bytes, namespace: str = "apps", **more: bytes) -> dict[str, Any]:
    """A TLS Secret; `more` are further keys, with `_` for the dot."""
    data = {"tls.crt": chain, "tls.key": key} | {key.replace("_", "."): value for key, value in more.items()}
    return opaque(name, namespace, kind="kubernetes.io/tls", **data)


def site(host: str, annotations: dict[str, str] | None = None, *paths: tuple[str, str, str], **kwargs: Any) -> Any:
    """An Ingress for one host, whose paths lead to service `a` unless said otherwise; its name is the host's."""
    rules = rule(host, *(paths or (("/", "Prefix", "a"),)))
    return ingress(kwargs.pop("name", host.replace("*", "wild")), rules, annotations=annotations, **kwargs)


def opaque(name: str, namespace: str = "apps", kind: str = "Opaque", **data: bytes | str) -> dict[str, Any]:
    """A Secret with any data."""
    encoded = {key: base64.b64encode(v.encode() if isinstance(v, str) else v).decode() for key, v in data.items()}
    return {"metadata": meta(name, namespace), "type": kind, "data": encoded}


def configmap(name: str, namespace: str = "apps", **data: str) -> dict[str, Any]:
    """A ConfigMap; `_` in a key stands for `-`."""
    return {"metadata": meta(name, namespace), "data": {key.replace("_", "-"): value for key, value in data.items()}}


def world(
    *ingresses: dict[str, Any],
    services: Mapping[str, Any] | None = None,
    secrets: Iterable[dict[str, Any]] = (),
    config: Mapping[str, str] | None = None,
    configmaps: Iterable[dict[str, Any]] = (),
    namespace: str = "apps",
    **more: Any,
) -> Snapshot:
    """A snapshot; `services` maps names to a port on loopback, a list of ports, or None for no endpoints.

    `more` are further fields of the snapshot (`names`, `tcp`, `udp`).
    """
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
    return Snapshot(ingresses, found, slices, _by_name(secrets), config or {}, configmaps=_by_name(configmaps), **more)


def _by_name(items: Iterable[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    return {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in items}
