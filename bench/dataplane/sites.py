"""The objects of the benchmark: sites, each an Ingress with three paths, a Service and three pods of its own. Pure.

Sites answer plain HTTP; every tenth number has a twin that is served over TLS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.dataplane.network import pod
from gateway_operator.kube import Resource

NAMESPACE = "bench"
CONFIG = f"{NAMESPACE}/gateway"
SECRET = "bench-tls"  # noqa: S105 - the name of one
DOMAIN = "bench.example.com"
PATHS = ("/", "/api", "/static")
PORT = 8080  # of every pod
PODS = 3  # of a site
SECURE = 10
_PREFIX = "nginx.ingress.kubernetes.io"
_OURS = "gateway.kubesphere.io"

INGRESSES = Resource("networking.k8s.io", "v1", "Ingress", "ingresses", namespaced=True)
SERVICES = Resource("", "v1", "Service", "services", namespaced=True)
SLICES = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", namespaced=True)
SECRETS = Resource("", "v1", "Secret", "secrets", namespaced=True)
Object = tuple[Resource, dict[str, Any]]


@dataclass(frozen=True)
class Site:
    """One site; `secure` ones have TLS."""

    number: int
    secure: bool = False

    @property
    def name(self) -> str:
        """The name of its Ingress and Service."""
        return f"{'secure' if self.secure else 'site'}-{self.number:05d}"

    @property
    def host(self) -> str:
        """Its host."""
        return f"{self.name}.{DOMAIN}"

    @property
    def pods(self) -> tuple[str, ...]:
        """The addresses of its pods."""
        first = (self.number * 2 + self.secure) * PODS
        return tuple(pod(first + n) for n in range(PODS))


def sites(count: int, first: int = 0) -> list[Site]:
    """Return sites without TLS, numbered from `first` to `count`."""
    return [Site(n) for n in range(first, count)]


def secure_sites() -> list[Site]:
    """Return the sites with TLS."""
    return [Site(n, secure=True) for n in range(SECURE)]


def objects(site: Site, annotations: dict[str, str] | None = None) -> Iterator[Object]:
    """Yield everything that a site needs."""
    yield SERVICES, service(site.name)
    yield SLICES, endpoint_slice(site.name, site.pods)
    yield INGRESSES, ingress(site.name, site.host, site.name, secure=site.secure, annotations=annotations)


def service(name: str) -> dict[str, Any]:
    """Return a Service whose endpoints are ours to write; without an address of its own it is made faster."""
    ports = [{"name": "http", "port": 80, "targetPort": PORT}]
    spec = {"clusterIP": "None", "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def endpoint_slice(name: str, addresses: tuple[str, ...]) -> dict[str, Any]:
    """Return the slice of a Service."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
        "endpoints": endpoints(addresses),
    }


def endpoints(addresses: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the endpoints of a slice, all ready."""
    conditions = {"ready": True, "serving": True, "terminating": False}
    return [{"addresses": [one], "conditions": conditions} for one in addresses]


def ingress(
    name: str, host: str, target: str, *, secure: bool = False, annotations: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return an Ingress that leads three paths of a host to one Service."""
    backend = {"service": {"name": target, "port": {"number": 80}}}
    paths = [{"path": path, "pathType": "Prefix", "backend": backend} for path in PATHS]
    spec: dict[str, Any] = {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": paths}}]}
    if secure:
        spec["tls"] = [{"hosts": [host], "secretName": SECRET}]
    meta = {"name": name, "annotations": annotations or {}}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec}


def health_checked() -> dict[str, str]:
    """Return the annotations that ask for active health checks."""
    return {f"{_OURS}/health-check-path": "/"}


def canary(weight: int) -> dict[str, str]:
    """Return the annotations of a canary."""
    return {f"{_PREFIX}/canary": "true", f"{_PREFIX}/canary-weight": str(weight)}


def annotation(name: str) -> str:
    """Return an annotation's whole name."""
    return f"{_PREFIX}/{name}"
