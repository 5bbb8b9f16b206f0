"""Authentication by another service, and by client certificates."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Self
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from aiohttp import web

from tests.nginx.harness import Backend, Gateway, basic, ports
from tests.nginx.objects import opaque, secret, site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


class Decider:
    """An authentication service: it lets those in whose header `Let` says so, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        status = int(request.headers.get("Let", "401"))
        return web.Response(status=status, headers={"X-User": "ann", "X-Other": "no", "Set-Cookie": "session=1"})


@pytest.fixture
async def decider() -> AsyncIterator[Decider]:
    """An authentication service."""
    async with Decider() as found:
        yield found


def url(decider: Decider, path: str = "/check") -> str:
    return f"http://auth.test:{decider.port}{path}"


NAMES = {"auth.test": ("127.0.0.1",)}


async def test_the_service_decides(served: Gateway, backends: dict[str, Backend], decider: Decider) -> None:
    """2xx lets in, 401 and 403 are passed on, anything else is an error; chosen headers reach the backend."""
    notes = {"auth-url": url(decider, "/check?a=b"), "auth-response-headers": "X-User,X-Missing"}
    await served.serve(world(site("x.test", notes), services=ports(backends), names=NAMES))
    told = await served.told("x.test", "/p?q=1", headers={"Let": "200", "X-User": "liar"}, method="POST", data=b"body")
    assert told["headers"]["X-User"] == "ann"
    assert "X-Other" not in told["headers"]
    assert told["size"] == 4
    for status in (401, 403):
        assert (await served.get("x.test", headers={"Let": str(status)})).status == status
    assert (await served.get("x.test", headers={"Let": "500"})).status == 500
    asked = decider.asked[0]
    assert (asked.path_qs, asked.method, asked.headers["Host"]) == ("/check?a=b", "GET", f"auth.test:{decider.port}")
    assert asked.headers["X-Original-URL"] == "http://x.test/p?q=1"
    assert asked.headers["X-Original-Method"] == "POST"
    assert asked.headers["X-Auth-Request-Redirect"] == "/p?q=1"
    assert "Content-Length" not in asked.headers


async def test_how_the_service_is_asked(served: Gateway, backends: dict[str, Backend], decider: Decider) -> None:
    """Another method, another redirect, variables in the URL; its cookie comes with every answer where asked for."""
    notes = {
        "auth-url": url(decider, "/c?u=$request_uri"),
        "auth-method": "POST",
        "auth-request-redirect": "https://$host/back",
        "auth-always-set-cookie": "true",
    }
    await served.serve(world(site("x.test", notes), services=ports(backends), names=NAMES))
    answer = await served.get("x.test", "/p?status=404", headers={"Let": "204"})
    assert (answer.status, answer.headers["Set-Cookie"]) == (404, "session=1")
    asked = decider.asked[0]
    assert (asked.path_qs, asked.method) == ("/c?u=/p?status=404", "POST")
    assert asked.headers["X-Auth-Request-Redirect"] == "https://x.test/back"


async def test_its_cookie_comes_with_good_answers(
    served: Gateway, backends: dict[str, Backend], decider: Decider
) -> None:
    """Without the annotation an error of the backend brings no cookie of the service."""
    await served.serve(world(site("x.test", {"auth-url": url(decider)}), services=ports(backends), names=NAMES))
    answer = await served.get("x.test", "/p", headers={"Let": "204"})
    assert (answer.status, answer.headers["Set-Cookie"]) == (200, "session=1")
    answer = await served.get("x.test", "/p?status=404", headers={"Let": "204"})
    assert (answer.status, answer.headers.get("Set-Cookie")) == (404, None)


async def test_sign_in(served: Gateway, backends: dict[str, Backend], decider: Decider) -> None:
    """Who isn't known goes to the sign-in page, with the wanted URL whole behind the parameter."""
    await served.serve(
        world(
            site("x.test", {"auth-url": url(decider), "auth-signin": "https://$host/oauth2/start"}),
            site(
                "y.test",
                {
                    "auth-url": url(decider),
                    "auth-signin": "https://id.test/?x=1",
                    "auth-signin-redirect-param": "back",
                },
            ),
            site("z.test", {"auth-url": url(decider), "auth-signin": "https://id.test/?rd=$escaped_request_uri"}),
            services=ports(backends),
            names=NAMES,
        )
    )
    wanted = "/deep/a%20b?q=1&r=2+3"
    answer = await served.get("x.test", wanted)
    there = urlsplit(answer.headers["Location"])
    assert (answer.status, there.netloc, there.path) == (302, "x.test", "/oauth2/start")
    assert parse_qs(there.query) == {"rd": [f"http://x.test{wanted}"]}
    there = urlsplit((await served.get("y.test", wanted)).headers["Location"])
    assert parse_qs(there.query) == {"x": ["1"], "back": [f"http://y.test{wanted}"]}
    there = urlsplit((await served.get("z.test", wanted)).headers["Location"])
    assert parse_qs(there.query) == {"rd": [wanted]}
    assert (await served.get("x.test", headers={"Let": "403"})).status == 403
    assert (await served.get("x.test", headers={"Let": "200"})).status == 200


async def test_error_pages_never_let_anybody_in(
    served: Gateway, backends: dict[str, Backend], decider: Decider
) -> None:
    """A backend for errors that answers 200 doesn't turn a refusal into a permission."""
    notes = {"auth-url": url(decider), "custom-http-errors": "401,403,404,500", "default-backend": "b"}
    await served.serve(world(site("x.test", notes), services=ports(backends), names=NAMES))
    for status in ("401", "403", "500"):
        answer = await served.get("x.test", headers={"Let": status})
        assert json.loads(await answer.text())["backend"] == "b"
    assert not backends["a"].seen
    assert (await served.told("x.test", headers={"Let": "200"}))["backend"] == "a"


async def test_a_service_on_the_own_host(served: Gateway, backends: dict[str, Backend], decider: Decider) -> None:
    """`$host` means the host's own paths, as upstream's documents have it for oauth2-proxy."""
    await served.serve(
        world(
            site("x.test", {"auth-url": "http://$host/oauth2/auth"}),
            site("x.test", {}, ("/oauth2", "Prefix", "decider"), name="oauth2"),
            services=ports(backends) | {"decider": decider.port},
        )
    )
    assert (await served.get("x.test")).status == 401
    assert (await served.told("x.test", headers={"Let": "200"}))["backend"] == "a"
    assert decider.asked[0].path == "/oauth2/auth"


async def test_no_service_shuts_the_path(served: Gateway, backends: dict[str, Backend]) -> None:
    """A name without an address, or one that leads to this machine, lets nobody in."""
    graph = await served.serve(
        world(site("x.test", {"auth-url": "http://nowhere.test/"}), services=ports(backends), names={})
    )
    assert (await served.get("x.test")).status == 503
    assert graph.problems


async def test_global_auth(served: Gateway, backends: dict[str, Backend], decider: Decider) -> None:
    """The ConfigMap's service decides for every path but those that opt out or are exempt."""
    await served.serve(
        world(
            site("x.test"),
            site("open.test", {"enable-global-auth": "false"}),
            site("acme.test", {}, ("/.well-known/acme-challenge/t", "Exact", "b")),
            services=ports(backends),
            names=NAMES,
            config={"global-auth-url": url(decider), "global-auth-response-headers": "X-User"},
        )
    )
    assert (await served.get("x.test")).status == 401
    assert (await served.told("x.test", headers={"Let": "200"}))["headers"]["X-User"] == "ann"
    assert await served.backend_of("open.test") == "a"
    assert await served.backend_of("acme.test", "/.well-known/acme-challenge/t") == "b"


async def test_how_the_global_service_is_asked(served: Gateway, backends: dict[str, Backend], decider: Decider) -> None:
    """Method, sign-in page, redirect and cookies come from the ConfigMap too, and so do the paths without it."""
    config = {
        "global-auth-url": url(decider),
        "global-auth-method": "PUT",
        "global-auth-signin": "https://id.test/in",
        "global-auth-signin-redirect-param": "back",
        "global-auth-request-redirect": "https://home.test/",
        "global-auth-always-set-cookie": "true",
        "no-auth-locations": "/free",
    }
    objects = site("x.test", {}, ("/", "Prefix", "a"), ("/free", "Prefix", "b"))
    await served.serve(world(objects, services=ports(backends), names=NAMES, config=config))
    answer = await served.get("x.test", "/p")
    there = urlsplit(answer.headers["Location"])
    assert (answer.status, there.netloc, parse_qs(there.query)) == (302, "id.test", {"back": ["http://x.test/p"]})
    assert (await served.get("x.test", "/?status=404", headers={"Let": "200"})).headers["Set-Cookie"] == "session=1"
    assert (decider.asked[0].method, decider.asked[0].headers["X-Auth-Request-Redirect"]) == (
        "PUT",
        "https://home.test/",
    )
    assert await served.backend_of("x.test", "/free") == "b"


def tls_site(host: str, authority: trustme.CA, notes: dict[str, str]) -> tuple[object, dict[str, object]]:
    """An Ingress with TLS, and its Secret."""
    issued = authority.issue_cert(host)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return site(host, notes, tls=[([host], host)]), secret(host, chain, issued.private_key_pem.bytes())


async def test_client_certificates(served: Gateway, backends: dict[str, Backend], authority: trustme.CA) -> None:
    """Required, optional, passed on, matched by name; a stranger's certificate or none is refused."""
    ours, theirs = trustme.CA(), trustme.CA()
    base = {"auth-tls-secret": "ca"}
    sites = {
        "on.test": base | {"auth-tls-pass-certificate-to-upstream": "true"},
        "optional.test": base | {"auth-tls-verify-client": "optional", "auth-tls-verify-depth": "2"},
        "any.test": base | {"auth-tls-verify-client": "optional_no_ca"},
        "name.test": base | {"auth-tls-match-cn": "CN=ann.*"},
        "page.test": base | {"auth-tls-error-page": "https://help.test/tls"},
        "plain.test": {},
    }
    made = [tls_site(host, authority, notes) for host, notes in sites.items()]
    await served.serve(
        world(
            *(item for item, _ in made),
            services=ports(backends),
            secrets=[*(item for _, item in made), opaque("ca", **{"ca.crt": ours.cert_pem.bytes()})],
        )
    )
    good, bad = ours.issue_cert("client.test", common_name="bob"), theirs.issue_cert("client.test")
    ann = ours.issue_cert("client.test", common_name="ann")

    async def status(host: str, pair: trustme.LeafCert | None = None, **kwargs: object) -> int:
        answer = await served.get_tls(host, pair=pair, **kwargs)
        return int(answer.status)

    answer = await served.get_tls("on.test", pair=good, headers={"ssl-client-verify": "LIE"})
    headers = {key.lower(): value for key, value in (await answer.json())["headers"].items()}
    assert headers["ssl-client-verify"] == "SUCCESS"
    assert "CN=bob" in headers["ssl-client-subject-dn"]
    assert headers["ssl-client-cert"].startswith("-----BEGIN%20CERTIFICATE-----")
    assert [await status("on.test"), await status("on.test", bad)] == [400, 400]
    assert [await status("optional.test"), await status("optional.test", good)] == [200, 200]
    assert await status("optional.test", bad) == 400
    assert [await status("any.test", bad), await status("any.test")] == [200, 200]
    assert [await status("name.test", ann), await status("name.test", good)] == [200, 403]
    answer = await served.get_tls("page.test")
    assert (answer.status, answer.headers["Location"]) == (302, "https://help.test/tls")
    assert await status("plain.test") == 200
    assert await status("on.test", good, sni="plain.test") in {400, 421}


async def test_http_basic_and_the_service(served: Gateway, backends: dict[str, Backend], decider: Decider) -> None:
    """Both must agree, unless `satisfy: any`."""
    notes = {"auth-url": url(decider), "auth-type": "basic", "auth-secret": "users"}
    await served.serve(
        world(
            site("all.test", notes),
            site("any.test", notes | {"satisfy": "any"}),
            services=ports(backends),
            secrets=[opaque("users", auth="ann:{PLAIN}secret\n")],
            names=NAMES,
        )
    )
    ann = basic("ann", "secret")
    assert (await served.get("all.test", headers=ann)).status == 401
    assert (await served.get("all.test", headers=ann | {"Let": "200"})).status == 200
    assert (await served.get("any.test", headers=ann)).status == 200
    assert (await served.get("any.test", headers={"Let": "200"})).status == 200
    assert (await served.get("any.test")).status == 401
