"""Annotations that decide where a request goes: rewrites, redirects, other names, TLS."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.nginx.harness import Backend, Gateway, ports
from tests.nginx.objects import ingress, rule, site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")
IMPL = "ImplementationSpecific"


async def locations(served: Gateway, host: str, *paths: str) -> list[tuple[int, str | None]]:
    """Status and Location of several requests."""
    answers = [await served.get(host, path) for path in paths]
    return [(answer.status, answer.headers.get("Location")) for answer in answers]


async def test_rewrite_target_takes_groups(served: Gateway, backends: dict[str, Backend]) -> None:
    """The backend gets the target with the path's groups in it, and the query as it was."""
    await served.serve(
        world(
            site("x.test", {"rewrite-target": "/$2"}, ("/api(/|$)(.*)", IMPL, "a")),
            site("y.test", {"rewrite-target": "/fixed"}, ("/old", "Prefix", "a")),
            services=ports(backends),
        )
    )
    paths = {"/api/v1/x?q=%2f&r": "/v1/x?q=%2f&r", "/api": "/", "/API/v2": "/v2"}
    assert {path: (await served.told("x.test", path))["path"] for path in paths} == paths
    assert await served.backend_of("x.test", "/apix") == 404
    assert (await served.told("y.test", "/old/deep"))["path"] == "/fixed"


async def test_regex_paths(served: Gateway, backends: dict[str, Backend]) -> None:
    """They match from the start, in any case, the longest text first, between exact paths and prefixes."""
    await served.serve(
        world(
            site("x.test", {"use-regex": "true"}, (r"/v[0-9]+/items", IMPL, "a"), (r"/v[0-9]+", IMPL, "b")),
            site("x.test", {}, ("/v1", "Exact", "c"), ("/w", "Prefix", "c"), name="plain"),
            services=ports(backends),
        )
    )
    expected = {
        "/v1": "c",
        "/v12/items/3": "a",
        "/V12/ITEMS": "a",
        "/v12/other": "b",
        "/v1x": "b",
        "/x/v1": 404,
        "/w": "c",
        "/w/": "c",
        "/w/deep": "c",
        "/wx": 404,
        "/W": 404,
        "/": 404,
    }
    assert {path: await served.backend_of("x.test", path) for path in expected} == expected


async def test_prefixes_beside_expressions_get_no_redirect(served: Gateway, backends: dict[str, Backend]) -> None:
    """An exact path with a slash at its end doesn't take the path without it, nor does nginx redirect to it."""
    await served.serve(
        world(
            site("x.test", {"use-regex": "true"}, ("/x[0-9]", IMPL, "a")),
            site("x.test", {}, ("/long-prefix", "Prefix", "b"), ("/tail/", "Exact", "c"), name="plain"),
            services=ports(backends),
        )
    )
    expected = {"/x1": "a", "/long-prefix": "b", "/long-prefix/": "b", "/tail/": "c", "/tail": 404}
    assert {path: await served.backend_of("x.test", path) for path in expected} == expected


async def test_redirects(served: Gateway, backends: dict[str, Backend]) -> None:
    """Permanent and temporal redirects with their codes; the request's URI is appended where asked for."""
    await served.serve(
        world(
            site("perm.test", {"permanent-redirect": "https://new.test/x?y=1"}),
            site("code.test", {"permanent-redirect": "https://new.test$request_uri", "permanent-redirect-code": "308"}),
            site("temp.test", {"temporal-redirect": "https://new.test/t", "permanent-redirect": "https://no.test"}),
            site("tcode.test", {"temporal-redirect": "https://new.test/t", "temporal-redirect-code": "307"}),
            services=ports(backends),
        )
    )
    assert await locations(served, "perm.test", "/any?a=b") == [(301, "https://new.test/x?y=1")]
    assert await locations(served, "code.test", "/any?a=b") == [(308, "https://new.test/any?a=b")]
    assert await locations(served, "temp.test", "/") == [(302, "https://new.test/t")]
    assert await locations(served, "tcode.test", "/") == [(307, "https://new.test/t")]


async def test_app_root(served: Gateway, backends: dict[str, Backend]) -> None:
    """Only `/` itself is sent to the application's root."""
    await served.serve(world(site("x.test", {"app-root": "/start/here"}), services=ports(backends)))
    assert await locations(served, "x.test", "/") == [(302, "http://x.test/start/here")]
    assert await served.backend_of("x.test", "/start/here") == "a"


async def test_www_redirect(served: Gateway, backends: dict[str, Backend]) -> None:
    """The other form of the name is sent to the one that the Ingress has."""
    await served.serve(
        world(
            site("x.test", {"from-to-www-redirect": "true"}),
            site("www.y.test", {"from-to-www-redirect": "true"}),
            services=ports(backends),
        )
    )
    assert await locations(served, "www.x.test", "/p?q=1") == [(308, "http://x.test/p?q=1")]
    assert await locations(served, "y.test", "/p") == [(308, "http://www.y.test/p")]
    assert await served.backend_of("x.test") == "a"


async def test_server_alias(served: Gateway, backends: dict[str, Backend]) -> None:
    """Other names are served as the host; a host of its own wins over an alias."""
    await served.serve(
        world(
            site("x.test", {"server-alias": "alias.test,*.many.test,own.test"}),
            site("own.test", {}, ("/", "Prefix", "b")),
            services=ports(backends),
        )
    )
    hosts = {"x.test": "a", "alias.test": "a", "one.many.test": "a", "own.test": "b", "two.one.many.test": 404}
    assert {host: await served.backend_of(host) for host in hosts} == hosts


async def test_names_that_backends_are_told(served: Gateway, backends: dict[str, Backend]) -> None:
    """upstream-vhost changes Host, x-forwarded-prefix adds its header."""
    await served.serve(
        world(
            site("x.test", {"upstream-vhost": "$service_name.$namespace.svc", "x-forwarded-prefix": "/pre/fix"}),
            services=ports(backends),
        )
    )
    headers = (await served.told("x.test"))["headers"]
    assert (headers["Host"], headers["X-Forwarded-Prefix"]) == ("a.apps.svc", "/pre/fix")
    assert headers["X-Forwarded-Host"] == "x.test"


async def test_tls_redirects_come_before_others(served: Gateway, backends: dict[str, Backend]) -> None:
    """force-ssl-redirect goes first; redirects keep a slash at the end."""
    notes = {"force-ssl-redirect": "true", "permanent-redirect": "https://new.test", "preserve-trailing-slash": "true"}
    await served.serve(world(site("x.test", notes), services=ports(backends)))
    assert await locations(served, "x.test", "/p/") == [(308, "https://x.test/p/")]
    answer = await served.get_tls("x.test", "/p/")
    assert (answer.status, answer.headers["Location"]) == (301, "https://new.test")


async def test_annotations_stay_with_their_ingress(served: Gateway, backends: dict[str, Backend]) -> None:
    """What one Ingress asks for its paths doesn't touch another's paths of the same host."""
    mine = ingress(
        "mine", rule("x.test", ("/mine", "Prefix", "a")), annotations={"upstream-vhost": "v.test", "limit-rps": "1"}
    )
    theirs = ingress("theirs", rule("x.test", ("/theirs", "Prefix", "b")))
    await served.serve(world(mine, theirs, services=ports(backends)))
    assert (await served.told("x.test", "/mine"))["headers"]["Host"] == "v.test"
    for _ in range(15):
        assert (await served.told("x.test", "/theirs"))["headers"]["Host"] == "x.test"


AES_128, AES_256 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"


def chosen(served: Gateway, name: str, *offered: str) -> str:
    """The cipher of a TLS 1.2 connection whose client offers these in their order; "" where none is shared."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(offered))
    with socket.create_connection(("127.0.0.1", served.https)) as raw:
        try:
            with context.wrap_socket(raw, server_hostname=name) as tls:
                return str((tls.cipher() or ("",))[0])
        except ssl.SSLError:
            return ""


async def test_ciphers_of_a_host(served: Gateway, backends: dict[str, Backend]) -> None:
    """A host may have its own ciphers, or let clients choose; other hosts keep the gateway's, TLS 1.3 its own."""
    await served.serve(
        world(
            site("x.test"),
            site("strong.test", {"ssl-ciphers": AES_256}),
            site("polite.test", {"ssl-prefer-server-ciphers": "false"}),
            site("strict.test", {"ssl-prefer-server-ciphers": "true", "ssl-ciphers": f"{AES_256}:{AES_128}"}),
            site("wrong.test", {"ssl-ciphers": "ALL:@SECLEVEL=0"}),
            services=ports(backends),
        )
    )
    both = AES_256, AES_128
    usual = chosen(served, "x.test", *both)
    assert usual == chosen(served, "x.test", *reversed(both)) == AES_128
    assert [chosen(served, "strong.test", item) for item in both] == [AES_256, ""]
    assert [chosen(served, "polite.test", *order) for order in (both, both[::-1])] == [AES_256, AES_128]
    assert [chosen(served, "strict.test", *order) for order in (both, both[::-1])] == [AES_256, AES_256]
    assert chosen(served, "wrong.test", *both) == usual
    assert (await served.get_tls("strong.test")).status == 200


async def test_ciphers_of_all_other_names(served: Gateway, backends: dict[str, Backend]) -> None:
    """What an Ingress without a host asks of handshakes holds for names that no other has, and for no host."""
    rest = ingress("rest", rule("", ("/", "Prefix", "b")), annotations={"ssl-ciphers": AES_256})
    await served.serve(world(site("x.test"), rest, services=ports(backends)))
    assert [chosen(served, "unknown.test", item) for item in (AES_128, AES_256)] == ["", AES_256]
    assert chosen(served, "x.test", AES_128) == AES_128
    assert served.certificate("x.test") == served.certificate("unknown.test")
