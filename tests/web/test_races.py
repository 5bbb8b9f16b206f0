"""Races that would be rare, made certain: somebody else is faster, and the API server goes away half-way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
import yaml

from gateway_operator.kube import Api
from gateway_operator.web import changes
from gateway_operator.web.access import Subject
from gateway_operator.web.changes import Changes
from gateway_operator.web.gateways import Gateways
from gateway_operator.web.problems import Problem
from tests.observe.logs.relay import Relay
from tests.web.conftest import WORKING
from tests.web.objects import KIND, body

CLUSTER = "kubesphere-system"
ADMIN = Subject("admin", ("system:masters",))


@dataclass(frozen=True)
class Watched(Changes):
    """Writes, with something that happens just before and just after each."""

    before: Callable[[Api, str], Awaitable[None]] | None = None
    after: Callable[[], Awaitable[None]] | None = None

    async def _send(self, method, obj, dry_run):
        if self.before:
            await self.before(self.gateways.api, (await self.gateways.resource()).path(WORKING))
        made = await super()._send(method, obj, dry_run)
        if self.after:
            await self.after()
        return made


def named(name):
    """Return a cluster gateway as a client sends it."""
    return body() | {"metadata": {"name": name, "namespace": WORKING}}


def there(cluster):
    """Return the names of all Gateways."""
    return [one["metadata"]["name"] for one in json.loads(cluster.kubectl("get", KIND, "-A", "-o", "json"))["items"]]


async def test_whoever_was_a_moment_earlier_stays(served, empty):
    """Another cluster gateway is written between our look and our write: ours is refused, and gone."""

    async def overtake(api, path):
        await api.raw("POST", path, body=named("main-b"))

    services = served.running.services
    writes = Watched(services.gateways, services.access, services.releases, before=overtake)
    with pytest.raises(Problem) as refused:
        await asyncio.to_thread(served.run, writes.create(ADMIN, CLUSTER, named("main-a")))
    assert (refused.value.status, refused.value.reason) == (409, "IngressClassTaken")
    assert "main-b" in refused.value.detail
    assert there(empty) == ["main-b"]


@pytest.fixture
async def cuttable(served, account, tmp_path, monkeypatch):
    """What our writes are made of, over a way to the API server that can be cut."""
    monkeypatch.setattr(changes, "_PAUSES", (0.05, 0.1))
    config = yaml.safe_load(account.read_text())
    place = config["clusters"][0]["cluster"]
    async with Relay(int(place["server"].rsplit(":", 1)[1])) as relay:
        place["server"] = f"https://127.0.0.1:{relay.port}"
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        api = await Api.connect(tmp_path / "kubeconfig")
        services = served.running.services
        yield relay, Gateways(api, services.gateways.settings), services
        await api.close()


async def test_an_api_server_that_is_away_after_the_write_is_asked_again(cuttable, empty):
    """The second look comes late and is taken all the same: the one that came second goes."""
    relay, gateways, services = cuttable
    waiting = []

    async def overtake(api, path):
        await api.raw("POST", path, body=named("main-b"))

    async def away():
        await relay.down()
        waiting.append(asyncio.create_task(back()))

    async def back():
        await asyncio.sleep(0.03)
        await relay.up()

    writes = Watched(gateways, Everything(), services.releases, before=overtake, after=away)
    with pytest.raises(Problem) as refused:
        await writes.create(ADMIN, CLUSTER, named("main-a"))
    assert (refused.value.status, refused.value.reason) == (409, "IngressClassTaken")
    assert there(empty) == ["main-b"]


async def test_a_gateway_that_nobody_could_judge_is_told(cuttable, empty):
    """The API server stays away after the write: 503 says that the gateway is there, and which."""
    relay, gateways, services = cuttable
    writes = Watched(gateways, Everything(), services.releases, after=relay.down)
    with pytest.raises(Problem) as refused:
        await writes.create(ADMIN, CLUSTER, named("main-a"))
    problem = refused.value
    assert (problem.status, problem.reason, problem.extra["down"]) == (503, "Unsettled", "kubernetes")
    assert f"{WORKING}/main-a" in problem.detail
    assert problem.extra["created"]["metadata"]["name"] == "main-a"
    assert there(empty) == ["main-a"]


class Everything:
    """Lets an administrator do what he wants; who may do what has tests of its own."""

    async def may(self, *_question):
        """Say yes."""
        return True
