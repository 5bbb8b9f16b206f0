"""Statuses of kinds that belong to others, against a real API server: what others write there stays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway_operator.kube import Api, Resource
from lab.apiserver import ApiCluster
from releases_lab import World, conditions, eventually


class Interrupted(Api):
    """Our client; somebody comes first each time that it is about to write a status."""

    moments: list[Callable[[], Awaitable[Any]]]

    async def apply(self, res: Resource, obj: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Write, after somebody else did."""
        if more.get("subresource") == "status" and self.moments:
            await self.moments.pop(0)()
        return await super().apply(res, obj, **more)


@pytest.fixture
async def interrupted(api_cluster: ApiCluster) -> AsyncIterator[Interrupted]:
    """A client of the operator's own."""
    client = await Interrupted.connect(api_cluster.kubeconfig)
    client.moments = []
    yield client
    await client.close()


async def somebodys(world: World, type_: str) -> None:
    """Add a condition to an object's status, as its own controller would."""
    found = {
        "type": type_,
        "status": "True",
        "reason": "Seen",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    ops = [{"op": "add", "path": "/status/conditions/-", "value": found}]
    resource = await world.api.resource(world.api_version, "Web")
    await world.api.json_patch(resource, "a", ops, world.namespace, subresource="status", field_manager="somebody")


@pytest.mark.parametrize("times", [1, 2, 6])
async def test_conditions_of_others_stay(world: World, interrupted: Interrupted, times: int) -> None:
    """Whoever writes a condition between our read and our write keeps it, however often that happens."""
    names = [f"Theirs{n}" for n in range(times)]
    async with world.engine(world.settings(world.row("Web")), api=interrupted):
        await world.custom("Web", "a", {"text": "one"})
        await world.ready("Web", "a")
        interrupted.moments += [lambda name=name: somebodys(world, name) for name in names]
        await world.change("Web", "a", {"text": "two"})

        async def told() -> bool:
            return (await world.ready("Web", "a"))["status"]["deployedRelease"]["revision"] == 2

        await eventually(told)
        assert not interrupted.moments
        found = conditions(await world.look("Web", "a"))
        assert [name for name in names if name not in found] == []
        assert found["Ready"]["status"] == "True"
    assert world.verbs == ["upgrade", "upgrade"]
