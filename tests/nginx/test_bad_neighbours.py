"""Mistakes of every kind among Ingresses that are in order: each is told to its owner, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nginx.conftest import running
from tests.nginx.controlled import controlled
from tests.nginx.harness import Backend, Gateway, eventually, ports
from tests.nginx.objects import ingress, opaque, rule, site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")
GOOD = 200
IMPL = "ImplementationSpecific"


@pytest.fixture
def gateway(nginx_binary: Path, renderer: str) -> Iterator[Gateway]:
    """A gateway of this test alone, once for each renderer."""
    with running(nginx_binary, renderer) as found:
        yield found


def bad_ones() -> list[dict[str, Any]]:
    """One Ingress for each kind of mistake, by the names of the reasons that their owners hear."""
    resource = site("resource.test", name="unsupportedbackend")
    resource["spec"]["rules"][0]["http"]["paths"][0]["backend"] = {"resource": {"kind": "Bucket", "name": "b"}}
    no_port = site("port.test", name="serviceportnotfound")
    no_port["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = {"name": "gone"}
    return [
        ingress("invalidhost-1", rule("bad_host.test;", ("/", "Prefix", "a"))),
        ingress("invalidhost-2", rule("*.*.test", ("/", "Prefix", "a"))),
        site("path.test", {}, ("/a b;}", IMPL, "a"), name="invalidpath-1"),
        site("long.test", {}, (f"/{'x' * 2000}", "Prefix", "a"), name="invalidpath-2"),
        site("twice.test", {"use-regex": "true"}, ("/((a+)+)+$", IMPL, "a"), name="invalidpath-3"),
        site("open.test", {"use-regex": "true"}, ("/[a-", IMPL, "a"), name="invalidpath-4"),
        site("size.test", {"proxy-body-size": "soon"}, name="invalidannotation-1"),
        site("url.test", {"permanent-redirect": "https://a.test/;}"}, name="invalidannotation-2"),
        site("target.test", {"rewrite-target": "/x?y"}, name="invalidannotation-3"),
        site("net.test", {"allowlist-source-range": "everybody"}, name="invalidannotation-4"),
        site("alias.test", {"server-alias": "~.*"}, name="invalidannotation-5"),
        site("code.test", {"configuration-snippet": "return 200;"}, name="unsupportedannotation-1"),
        site("odd.test", {"no-such-thing": "1"}, name="unsupportedannotation-2"),
        site("users.test", {"auth-type": "basic", "auth-secret": "gone"}, name="invalidreference-1"),
        site("ca.test", {"auth-tls-secret": "broken"}, name="invalidreference-2"),
        site("headers.test", {"custom-headers": "gone"}, name="invalidreference-3"),
        site("who.test", {"auth-url": "http://nobody.test/"}, name="authunavailable"),
        site("pair.test", tls=[(["pair.test"], "broken")], name="invalidcertificate"),
        site("gone.test", {}, ("/", "Prefix", "gone"), name="servicenotfound"),
        no_port,
        resource,
        site("alone.test", {"canary": "true", "canary-weight": "5"}, name="canarywithoutmain"),
        site("good0.test", {}, ("/", "Prefix", "b"), name="pathconflict", created="2026-06-01T00:00:00Z"),
    ]


async def test_every_mistake_is_its_owners_alone(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Two hundred Ingresses are served, and changes of one of them go on, whatever stands beside them."""
    bad, broken = bad_ones(), opaque("broken", **{"ca.crt": "no certificate"})

    def objects(*, service: str, size: str) -> Any:
        """All Ingresses; the last good one has this Service and this limit for bodies."""
        last = site("last.test", {"proxy-body-size": size}, ("/", "Prefix", service))
        good = [site(f"good{number}.test") for number in range(GOOD)]
        return world(*good, last, *bad, services=ports(backends), secrets=[broken])

    async def serves(host: str, what: str | int) -> bool:
        return bool(await gateway.backend_of(host) == what)

    def unheard() -> list[str]:
        """The names of those whose owners haven't heard the right reason yet."""
        names = [item["metadata"]["name"] for item in bad]
        heard = {name: {reason.lower() for reason in run.notebook.reasons(name)} for name in names}
        return [name for name in names if name.partition("-")[0] not in heard[name]]

    async with controlled(gateway, objects(service="a", size="1m")) as run:
        await eventually(lambda: serves("last.test", "a"))
        await eventually(lambda: asyncio.sleep(0, not unheard()))
        for service, size in (("b", "1m"), ("c", "2m"), ("a", "3m")):
            run.show(objects(service=service, size=size))
            await eventually(lambda service=service: serves("last.test", service))
        assert {await gateway.backend_of(f"good{number}.test") for number in range(0, GOOD, 20)} == {"a"}
        shut = {host: await gateway.backend_of(host) for host in ("net.test", "users.test", "who.test", "gone.test")}
        assert set(shut.values()) == {503}
