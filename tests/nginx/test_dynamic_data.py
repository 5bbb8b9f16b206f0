"""The data socket: updates land whole or not at all, whatever arrives."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import aiohttp
import pytest

from gateway_operator.ingress.data_socket import Full
from gateway_operator.ingress.plan import Certificate
from gateway_operator.ingress.policies import Profile
from tests.nginx.dynamic_harness import Nginx, route, server, upstream
from tests.nginx.harness import Backend

Backends = dict[str, Backend]


async def ask(nginx: Nginx, method: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, Any]]:
    """One request to the socket; header names with underscores."""
    connector = aiohttp.UnixConnector(path=f"{nginx.folder}/data.sock")
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, "http://nginx/data", data=body, headers=named) as answer,
    ):
        return answer.status, json.loads(await answer.read())


async def test_version_decides(nginx: Nginx, backends: Backends) -> None:
    """An update from another version sets nothing; one from the right version moves it on."""
    await nginx.serve(upstream("00ff", backends["a"]), server("x.test", route("/", "00ff")))
    status, told = await ask(nginx, "GET")
    version, keys = told["version"], told["keys"]
    assert (status, keys) == (200, len(nginx.delivery.data))
    assert told["digest"] == nginx.delivery.digest
    assert told["capacity"] == nginx.machine.data_size > told["free"] > 0
    change = b"S extra 3\nabc\nV %d %d feed\n"
    refused = await ask(nginx, "POST", change % (version + 5, version + 6), X_Data_From=str(version + 5))
    assert refused == (409, {"version": version})
    taken = await ask(nginx, "POST", change % (version, version + 1), X_Data_From=str(version))
    assert taken == (200, {"version": version + 1})
    told = (await ask(nginx, "GET"))[1]
    assert (told["digest"], told["keys"]) == ("feed", keys + 1)
    await ask(nginx, "POST", b"D extra\nV 0 %d beef\n" % (version + 2), X_Data_From=str(version + 1))
    assert (await ask(nginx, "GET"))[1]["keys"] == keys


async def test_clients_are_asked_to_leave(nginx: Nginx, backends: Backends) -> None:
    """Once nginx is to end, answers over HTTP/1 close their connections; data still comes."""
    items = (upstream("00ff", backends["a"]), server("x.test", route("/", "00ff")))
    await nginx.serve(*items)
    assert (await nginx.get("x.test")).headers.getall("Connection") == ["keep-alive"]
    assert (await ask(nginx, "DELETE"))[0] == 200
    assert "close" in (await nginx.get("x.test")).headers.getall("Connection")
    await nginx.serve(*items, server("y.test", route("/", "00ff")))
    answer = await nginx.get("y.test")
    assert (answer.status, "close" in answer.headers.getall("Connection")) == (200, True)


@pytest.mark.parametrize("body", [b"S x 10\nabc\n", b"X y\n", b"S x 3\nabcd\n", b"V 1"])
async def test_broken_records(nginx: Nginx, body: bytes) -> None:
    """What isn't a whole list of records is refused, and nothing of it is set."""
    await nginx.serve()
    version, keys = (await ask(nginx, "GET"))[1]["version"], (await ask(nginx, "GET"))[1]["keys"]
    status, _ = await ask(nginx, "POST", b"S a 1\nb\n" + body, X_Data_From=str(version))
    assert status == 400
    assert (await ask(nginx, "GET"))[1]["keys"] == keys


async def test_full_load_removes_what_is_not_in_it(nginx: Nginx, backends: Backends) -> None:
    """A full load of several requests leaves exactly its own keys."""
    await nginx.serve(upstream("00ff", backends["a"]), server("x.test", route("/", "00ff")))
    names = {"X_Data_From": "*", "X_Data_Load": "0123"}
    default = nginx.delivery.data["h:"]
    await ask(nginx, "POST", b"S h: %d\n%s\n" % (len(default), default), **names)
    assert await nginx.backend_of("x.test") == "a"
    await ask(nginx, "POST", b"S k 1\nv\nV * 1000 aa\n", **names)
    assert (await ask(nginx, "GET"))[1] | {"free": 0, "capacity": 0} == {
        "version": 1000,
        "digest": "aa",
        "keys": 2,
        "free": 0,
        "capacity": 0,
    }
    assert await nginx.backend_of("x.test") == 404


async def test_no_room_is_an_answer(nginx: Nginx, backends: Backends) -> None:
    """A full dict refuses more, and what is in it goes on."""
    plan = nginx.plan(upstream("00ff", backends["a"]), server("x.test", route("/", "00ff")))
    plan = dataclasses.replace(plan, machine=dataclasses.replace(plan.machine, data_size=1 << 20))
    await nginx.take(plan)
    large = tuple(Certificate(f"{number:04x}", b"x" * 60_000) for number in range(40))
    with pytest.raises(Full):
        await nginx.take(dataclasses.replace(plan, certificates=(*plan.certificates, *large)))
    assert await nginx.backend_of("x.test") == "a"


async def test_profiles_are_text(nginx: Nginx, backends: Backends) -> None:
    """A new profile is a reload, using one that is there isn't; each keeps its limit."""
    backend = upstream("00ff", backends["a"])
    small, large = Profile(body_size="1k"), Profile(body_size="100k")
    await nginx.serve(backend, server("x.test", route("/small", "00ff", profile=small), route("/", "00ff")))
    assert (await nginx.get("x.test", "/small", method="POST", data=b"x" * 5000)).status == 413
    assert (await nginx.get("x.test", "/", method="POST", data=b"x" * 5000)).status == 200
    await nginx.serve(backend, server("x.test", route("/", "00ff", profile=small), route("/small", "00ff")))
    assert nginx.generations == 1
    assert (await nginx.get("x.test", "/", method="POST", data=b"x" * 5000)).status == 413
    rendered = await nginx.serve(backend, server("x.test", route("/", "00ff", profile=large)))
    assert nginx.generations == 2
    assert (await nginx.get("x.test", "/", method="POST", data=b"x" * 5000)).status == 200
    assert rendered.needs["h:x.test"] < set(rendered.files)


async def test_no_request_fails_when_profiles_change(nginx: Nginx, backends: Backends) -> None:
    """Between new text and new data each worker serves what it has, or waits for what fits."""
    backend = upstream("00ff", backends["a"])
    statuses: list[int] = []
    running = True

    async def ask_on() -> None:
        while running:
            statuses.append((await nginx.get("x.test")).status)

    def world(number: int) -> tuple[Any, ...]:
        return backend, server("x.test", route("/", "00ff", profile=Profile(body_size=f"{number + 1}m")))

    await nginx.serve(*world(0))
    clients = [asyncio.create_task(ask_on()) for _ in range(4)]
    for number in range(1, 5):
        await nginx.serve(*world(number))
        await asyncio.sleep(0.1)
    running = False
    await asyncio.gather(*clients)
    assert set(statuses) == {200}
