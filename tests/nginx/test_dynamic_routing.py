"""The dynamic renderer's router: hosts and paths lie in data, and changing them is no reload."""

from __future__ import annotations

import pytest

from tests.nginx.dynamic_harness import Nginx, route, server, upstream
from tests.nginx.harness import Backend

Backends = dict[str, Backend]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", "c"),
        ("/shop", "a"),
        ("/shop/", "a"),
        ("/shop/x/y", "a"),
        ("/shopping", "c"),
        ("/shop/cart", "b"),
        ("/shop/cart/1", "b"),
        ("/shop/carts", "a"),
        ("/exact", "b"),
        ("/exact/", "c"),
        ("/a/../shop", "a"),
        ("//shop", "a"),
        ("/sh%6Fp?x=1", "a"),
        ("/.gw/none", "c"),
        ("/" + "x/" * 2000, "c"),
    ],
)
async def test_paths(nginx: Nginx, backends: Backends, path: str, answer: str) -> None:
    """Whole segments count, the longest prefix wins, an exact path wins over all."""
    await nginx.serve(
        *(upstream(name, backend) for name, backend in backends.items()),
        server(
            "x.test", route("/", "c"), route("/shop", "a"), route("/shop/cart", "b"), route("/exact", "b", exact=True)
        ),
    )
    assert await nginx.backend_of("x.test", path) == answer


async def test_hosts(nginx: Nginx, backends: Backends) -> None:
    """An exact host wins over a wildcard of one label, that one over the default."""
    await nginx.serve(
        *(upstream(name, backend) for name, backend in backends.items()),
        server("x.test", route("/", "a"), aliases=("other.example",)),
        server("*.x.test", route("/", "b")),
        server("", route("/", "c")),
    )
    hosts = ["x.test", "X.TEST:99", "w.x.test", "v.w.x.test", "y.test", "other.example"]
    assert [await nginx.backend_of(host) for host in hosts] == ["a", "a", "b", "c", "c", "a"]


async def test_data_needs_no_reload(nginx: Nginx, backends: Backends) -> None:
    """Hosts, paths and endpoints come and go with the same text, and the next request sees it."""
    a, b = backends["a"], backends["b"]
    await nginx.serve(upstream("one", a), server("x.test", route("/", "one")))
    assert await nginx.backend_of("x.test") == "a"
    await nginx.serve(upstream("one", b), server("x.test", route("/", "one")))
    assert await nginx.backend_of("x.test") == "b"
    await nginx.serve(upstream("one", b), server("x.test", route("/", "one")), server("y.test", route("/p", "one")))
    assert (await nginx.backend_of("y.test", "/p/q"), await nginx.backend_of("y.test", "/q")) == ("b", 404)
    await nginx.serve(server("x.test", route("/", None)))
    assert (await nginx.backend_of("x.test"), await nginx.backend_of("y.test", "/p")) == (503, 404)
    assert nginx.generations == 1


async def test_request_as_it_was(nginx: Nginx, backends: Backends) -> None:
    """A backend gets the path as the client wrote it, and the headers of the contract."""
    await nginx.serve(upstream("one", backends["a"]), server("x.test", route("/", "one")))
    path = "/a%20b/../c//d%3f?q=%0d&r"
    answer = await (await nginx.get("x.test", path)).json()
    assert answer["path"] == path
    headers = {key.lower(): value for key, value in answer["headers"].items()}
    assert headers["host"] == headers["x-forwarded-host"] == "x.test"
    assert (headers["x-forwarded-for"], headers["x-real-ip"]) == ("127.0.0.1", "127.0.0.1")
    assert (headers["x-forwarded-proto"], headers["x-scheme"]) == ("http", "http")
    assert len(headers["x-request-id"]) == 32


async def test_snapshot(nginx: Nginx, backends: Backends) -> None:
    """An nginx that starts alone has the data of the one before; a broken snapshot is left alone."""
    await nginx.serve(upstream("one", backends["a"]), server("x.test", route("/", "one")))
    await nginx.delivery.save()
    assert nginx.rendered is not None
    await nginx.stop()
    await nginx._load(nginx.rendered)
    assert await nginx.backend_of("x.test") == "a"
    await nginx.stop()
    snapshot = nginx.folder / "data.snapshot"
    snapshot.write_bytes(snapshot.read_bytes()[:-20])
    await nginx._load(nginx.rendered)
    assert await nginx.backend_of("x.test") == 503
    await nginx.delivery.bring(nginx.rendered.data)
    assert await nginx.backend_of("x.test") == "a"
