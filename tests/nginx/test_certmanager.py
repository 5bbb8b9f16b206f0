"""HTTP-01 challenges with the objects that cert-manager makes: answered whatever the site asks for itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gateway_operator.ingress.classes import is_ours
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.snapshot import Snapshot
from tests.nginx.harness import Backend, Gateway
from tests.nginx.objects import ingress, meta, rule, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")

HOST = "shop.test"
TOKEN = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
SOLVER = "cm-acme-http-solver-x7k2p"
LABELS = {
    "acme.cert-manager.io/http-domain": "712905217",
    "acme.cert-manager.io/http-token": "1226364839",
    "acme.cert-manager.io/http01-solver": "true",
}
OWNER = {
    "apiVersion": "acme.cert-manager.io/v1",
    "kind": "Challenge",
    "name": "shop-tls-1-1-1",
    "uid": "00000000-0000-4000-8000-000000000001",
    "controller": True,
    "blockOwnerDeletion": True,
}
PATH_TYPES = ["Exact", "ImplementationSpecific"]  # since 1.18, and before or with that feature off
PORT = 8089


def solver_path(kind: str) -> dict[str, Any]:
    """The path of a challenge."""
    return {"path": TOKEN, "pathType": kind, "backend": {"service": {"name": SOLVER, "port": {"number": PORT}}}}


def solver_ingress(kind: str) -> dict[str, Any]:
    """The Ingress of a challenge; it is younger than the site's and lies in the same namespace."""
    metadata = meta("cm-acme-http-solver-9mz4d", creationTimestamp="2026-02-01T00:00:00Z")
    metadata |= {
        "generateName": "cm-acme-http-solver-",
        "labels": LABELS,
        "annotations": {"nginx.ingress.kubernetes.io/whitelist-source-range": "0.0.0.0/0,::/0"},
        "ownerReferences": [OWNER],
    }
    spec = {"ingressClassName": "nginx", "rules": [{"host": HOST, "http": {"paths": [solver_path(kind)]}}]}
    return {"metadata": metadata, "spec": spec}


def with_solver(snapshot: Snapshot, port: int) -> Snapshot:
    """Add the Service of a challenge, a NodePort one, and its pod."""
    key = ("apps", SOLVER)
    metadata = meta(SOLVER, labels=LABELS, annotations={"auth.istio.io/8089": "NONE"}, ownerReferences=[OWNER])
    ports = [{"name": "http", "port": PORT, "targetPort": PORT, "nodePort": 31089, "protocol": "TCP"}]
    service = {"metadata": metadata, "spec": {"type": "NodePort", "ports": ports, "selector": LABELS}}
    found = {
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": ["127.0.0.1"], "conditions": {"ready": True, "serving": True, "terminating": False}}
        ],
    }
    return dataclasses.replace(
        snapshot, services={**snapshot.services, key: service}, slices={**snapshot.slices, key: [found]}
    )


def site(*more: dict[str, Any], **annotations: str) -> dict[str, Any]:
    """The site's own Ingress, whose certificate isn't there yet."""
    notes = {key.replace("_", "-"): value for key, value in annotations.items()}
    obj = ingress("shop", rule(HOST, ("/", "Prefix", "a")), annotations=notes, tls=[([HOST], "shop-tls")])
    obj["spec"]["rules"][0]["http"]["paths"].extend(more)
    return obj


async def challenge(gateway: Gateway) -> str | int:
    """Ask as a certificate authority does: over plain HTTP, redirects followed by nobody."""
    return await gateway.backend_of(HOST, TOKEN)


@pytest.mark.parametrize("kind", PATH_TYPES)
@pytest.mark.parametrize(
    ("annotations", "config", "main"),
    [
        ({}, {}, 308),
        ({"force_ssl_redirect": "true"}, {}, 308),
        ({}, {"force-ssl-redirect": "true"}, 308),
        ({"whitelist_source_range": "192.0.2.0/24", "ssl_redirect": "false"}, {}, 403),
        ({"ssl_redirect": "false"}, {"whitelist-source-range": "192.0.2.0/24"}, 403),
        ({"use_regex": "true", "rewrite_target": "/other", "ssl_redirect": "false"}, {}, "a"),
        ({"permanent_redirect": "https://www.shop.test"}, {}, 308),
        ({"denylist_source_range": "127.0.0.0/8", "ssl_redirect": "false"}, {}, 403),
    ],
)
async def test_a_challenge_is_answered(
    served: Gateway,
    backends: dict[str, Backend],
    annotations: dict[str, str],
    config: dict[str, str],
    main: str | int,
    kind: str,
) -> None:
    """Over plain HTTP, from everywhere, while the site's other paths go on as its own Ingress says."""
    objects = (site(**annotations), solver_ingress(kind))
    snapshot = world(*objects, services={"a": backends["a"].port}, config=config)
    await served.serve(with_solver(snapshot, backends["b"].port))
    assert await challenge(served) == "b"
    assert await served.backend_of(HOST, "/") == main
    elsewhere = await served.backend_of(HOST, "/.well-known/acme-challenge/other")
    assert elsewhere != "b"


@pytest.mark.parametrize("kind", PATH_TYPES)
async def test_a_challenge_in_the_sites_own_ingress(served: Gateway, backends: dict[str, Backend], kind: str) -> None:
    """With http01-edit-in-place the path comes into the site's Ingress, and isn't redirected to TLS there either."""
    snapshot = world(site(solver_path(kind), force_ssl_redirect="true"), services={"a": backends["a"].port})
    await served.serve(with_solver(snapshot, backends["b"].port))
    assert await challenge(served) == "b"
    assert await served.backend_of(HOST, "/") == 308


@pytest.mark.parametrize("kind", PATH_TYPES)
async def test_challenges_come_and_go(served: Gateway, backends: dict[str, Backend], kind: str) -> None:
    """The path is there with the objects and gone with them; with the dynamic renderer no reload is spent on it."""
    services = {"a": backends["a"].port}
    without = world(site(), services=services)
    await served.serve(without)
    reloads = served.reloads
    for _ in range(2):
        await served.serve(with_solver(world(site(), solver_ingress(kind), services=services), backends["b"].port))
        assert await challenge(served) == "b"
        await served.serve(without)
        assert await challenge(served) in {"a", 308}  # below the site's own rule again
        assert await served.backend_of(HOST, "/") == 308
    if served.renderer == "dynamic":
        assert served.reloads == reloads


async def test_a_challenge_beside_a_wildcard(served: Gateway, backends: dict[str, Backend]) -> None:
    """An exact host wins over a wildcard, also when all that it has is a challenge: docs/compat.md warns of it."""
    wildcard = ingress("wild", rule("*.test", ("/", "Prefix", "a")))
    services = {"a": backends["a"].port}
    await served.serve(with_solver(world(wildcard, solver_ingress("Exact"), services=services), backends["b"].port))
    assert [await challenge(served), await served.backend_of(HOST), await served.backend_of("x.test")] == [
        "b",
        404,
        "a",
    ]


async def test_a_challenge_before_its_pod_is_ready(served: Gateway, backends: dict[str, Backend]) -> None:
    """It answers 503, which cert-manager's own check sees and waits for, and the site goes on."""
    snapshot = with_solver(world(site(), solver_ingress("Exact"), services={"a": backends["a"].port}), 1)
    pending = {**snapshot.slices, ("apps", SOLVER): []}
    await served.serve(dataclasses.replace(snapshot, slices=pending))
    assert await challenge(served) == 503
    assert await served.backend_of(HOST, "/") == 308


@pytest.mark.parametrize(
    ("spec", "annotations", "ours"),
    [
        ({"ingressClassName": "nginx"}, {}, True),  # the issuer's ingressClassName
        ({}, {"kubernetes.io/ingress.class": "nginx"}, True),  # its class
        ({}, {}, False),  # neither: for whoever serves Ingresses without a class
        ({"ingressClassName": "other"}, {}, False),
    ],
)
def test_which_gateway_answers(spec: dict[str, Any], annotations: dict[str, str], ours: bool) -> None:  # noqa: FBT001
    """Both ways in which an issuer names the class lead here."""
    classes = {name: {"spec": {"controller": f"k8s.io/{name}"}} for name in ("ingress-nginx", "other")}
    classes = {"nginx": classes["ingress-nginx"], "other": classes["other"]}
    obj = solver_ingress("Exact")
    obj["metadata"]["annotations"] = annotations
    obj["spec"] = {key: value for key, value in obj["spec"].items() if key != "ingressClassName"} | spec
    assert is_ours(obj, classes, IngressOptions()) is ours
