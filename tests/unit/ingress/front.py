"""From objects to the plan in one call, for tests of the front."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway_operator.ingress.certificates import self_signed
from gateway_operator.ingress.graph import Graph, GraphBuilder
from gateway_operator.ingress.plan import Machine, Plan, Route, Server
from gateway_operator.ingress.planner import compile_plan, read_config
from gateway_operator.ingress.problems import Ref
from gateway_operator.ingress.snapshot import Snapshot
from tests.nginx.objects import ingress, meta, rule

FAKE = self_signed()
CONFIG = Ref("ConfigMap", "gw", "config", "", "v1")
OURS = "gateway.kubesphere.io/"


def service(name: str, *addresses: str, namespace: str = "apps", **spec: Any) -> Snapshot:
    """A Service with port 80 named http, and its endpoints on port 8080."""
    item = {"metadata": meta(name, namespace), "spec": {"ports": [{"name": "http", "port": 80}], **spec}}
    slice_ = {
        "metadata": meta(f"{name}-x", namespace),
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [address]} for address in addresses],
    }
    return Snapshot((), {(namespace, name): item}, {(namespace, name): [slice_]})


def secret(name: str, namespace: str = "apps", kind: str = "Opaque", **data: bytes) -> dict[str, Any]:
    """A Secret; a double underscore in a key's name stands for a dot."""
    encoded = {key.replace("__", "."): base64.b64encode(value).decode() for key, value in data.items()}
    return {"metadata": meta(name, namespace), "type": kind, "data": encoded}


def cluster(*parts: Snapshot | dict[str, Any], config: dict[str, str] | None = None, **more: Any) -> Snapshot:
    """A snapshot of Ingresses, Secrets, ConfigMaps, and what `service` gives."""
    ingresses, services, slices, secrets, configmaps = [], {}, {}, {}, {}
    for part in parts:
        if isinstance(part, Snapshot):
            services |= part.services
            slices |= part.slices
            continue
        key = (part["metadata"]["namespace"], part["metadata"]["name"])
        if "spec" in part:
            ingresses.append(part)
        elif "type" in part:
            secrets[key] = part
        else:
            configmaps[key] = part
    return Snapshot(tuple(ingresses), services, slices, secrets, config or {}, configmaps=configmaps, **more)


def graph_of(snapshot: Snapshot, **options: Any) -> Graph:
    return GraphBuilder(**options).build(snapshot)


def plan_of(snapshot: Snapshot, **options: Any) -> Plan:
    config = read_config(snapshot.config, CONFIG, snapshot.configmaps)
    return compile_plan(graph_of(snapshot, **options), config, Machine(), FAKE).plan


def server_of(plan: Plan, host: str) -> Server:
    return next(server for server in plan.servers if server.host == host)


def routes_of(plan: Plan, host: str = "x.test") -> dict[tuple[str, bool], Route]:
    return {(route.path, route.exact): route for route in server_of(plan, host).routes}


def one_route(notes: dict[str, str], *parts: Any, path: str = "/", **more: Any) -> Route:
    """The only route of an Ingress with these annotations, of Service s with one endpoint."""
    item = ingress("one", rule("x.test", (path, "ImplementationSpecific", "s")), annotations=notes)
    item["metadata"]["annotations"] |= more.pop("ours", {})
    plan = plan_of(cluster(item, service("s", "10.0.0.1"), *parts, **more))
    return next(route for route in server_of(plan, "x.test").routes if route.owner)


def told(snapshot: Snapshot, **options: Any) -> list[tuple[str, str]]:
    """Reason and field of each problem, the field without the annotations' prefix."""
    found = graph_of(snapshot, **options).problems
    return [(problem.reason, problem.field.rpartition("/")[2].removesuffix("]")) for problem in found]


def revocations() -> bytes:
    """An empty revocation list."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")])
    builder = x509.CertificateRevocationListBuilder().issuer_name(name).last_update(now)
    found = builder.next_update(now + dt.timedelta(days=1)).sign(key, hashes.SHA256())
    return found.public_bytes(serialization.Encoding.PEM)


S = service("s", "10.0.0.1")
T = service("t", "10.0.0.2")
PREFIX = ("/", "Prefix", "s")


def upstream_of(plan: Plan, route: Route) -> Any:
    """The upstream that a route leads to."""
    return next(item for item in plan.upstreams if item.id == route.upstream)
