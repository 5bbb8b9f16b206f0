"""The five behaviours over which migrations trip: what docs/compat.md says of them, request by request."""

from __future__ import annotations

import pytest

from tests.nginx.harness import Backend, Gateway
from tests.nginx.objects import ingress, rule, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")

HOST = "x.test"


def ports(backends: dict[str, Backend]) -> dict[str, int]:
    """Services by name."""
    return {name: backend.port for name, backend in backends.items()}


async def test_a_regular_expression_matches_from_the_start_in_any_case(
    served: Gateway, backends: dict[str, Backend]
) -> None:
    """It isn't anchored at its end, as upstream's."""
    regex = ingress(
        "regex", rule(HOST, ("/[A-Z]{3}", "ImplementationSpecific", "a")), annotations={"use-regex": "true"}
    )
    await served.serve(world(regex, services=ports(backends)))
    expected = {"/ABC": "a", "/abc": "a", "/abcdef/x": "a", "/ab": 404, "/x/abc": 404}
    assert {path: await served.backend_of(HOST, path) for path in expected} == expected


async def test_use_regex_of_one_ingress_leaves_the_others_of_the_host_alone(
    served: Gateway, backends: dict[str, Backend]
) -> None:
    """Upstream turns the paths of all Ingresses of the host; here a dot elsewhere stays a dot, and case counts."""
    regex = ingress("regex", rule(HOST, ("/v[0-9]", "ImplementationSpecific", "a")), annotations={"use-regex": "true"})
    plain = ingress("plain", rule(HOST, ("/file.txt", "Exact", "b"), ("/docs", "Prefix", "c")))
    await served.serve(world(regex, plain, services=ports(backends)))
    expected = {"/v1/x": "a", "/file.txt": "b", "/fileXtxt": 404, "/docs/x": "c", "/DOCS": 404, "/docsx": 404}
    assert {path: await served.backend_of(HOST, path) for path in expected} == expected


async def test_rewrite_target_means_regular_expressions(served: Gateway, backends: dict[str, Backend]) -> None:
    """For the Ingress's own paths, as upstream, and for no other's."""
    notes = {"rewrite-target": "/$1"}
    rewritten = ingress("rewritten", rule(HOST, ("/api/(.*)", "ImplementationSpecific", "a")), annotations=notes)
    plain = ingress("plain", rule(HOST, ("/web", "Prefix", "b")))
    await served.serve(world(rewritten, plain, services=ports(backends)))
    assert (await served.told(HOST, "/api/users/7"))["path"] == "/users/7"
    assert (await served.told(HOST, "/API/users"))["path"] == "/users"
    assert await served.backend_of(HOST, "/webs") == 404
    assert (await served.told(HOST, "/web/x"))["path"] == "/web/x"


async def test_no_redirect_to_a_trailing_slash(served: Gateway, backends: dict[str, Backend]) -> None:
    """A prefix's last slash means nothing; an exact path is exact. Upstream answers 301 in both cases."""
    rules = rule(HOST, ("/dir/", "Prefix", "a"), ("/page/", "Exact", "b"))
    await served.serve(world(ingress("one", rules), services=ports(backends)))
    expected = {"/dir": "a", "/dir/": "a", "/page/": "b", "/page": 404}
    assert {path: await served.backend_of(HOST, path) for path in expected} == expected


async def test_paths_are_normalised_to_match_and_sent_as_they_came(
    served: Gateway, backends: dict[str, Backend]
) -> None:
    """Dots, double slashes and %XX mean what they mean before a rule is chosen; the backend gets the client's text."""
    rules = rule(HOST, ("/shop", "Prefix", "a"), ("/admin", "Prefix", "b"))
    await served.serve(world(ingress("one", rules), services=ports(backends)))
    expected = {"/shop/../admin": "b", "//shop": "a", "/%61dmin": "b", "/shop/%2e%2e/admin/x": "b"}
    for path, backend in expected.items():
        told = await served.told(HOST, path)
        assert (told["backend"], told["path"]) == (backend, path)
