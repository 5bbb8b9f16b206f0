"""Every kind of object of a chart, wherever it lives, is put back when it is deleted, changed, reduced or added to."""

from __future__ import annotations

import contextlib
import uuid

import pytest

from drift_cases import TARGETS, WAYS, Scene
from releases_lab import eventually


@contextlib.asynccontextmanager
async def scene(world, *, row=None, **settings):
    """Release `a` of the chart `drift`, with objects in another namespace and a custom resource; noted as it is."""
    await world.define("Child")
    world.elsewhere = f"else-{uuid.uuid4().hex[:8]}"
    await world.create("v1", "Namespace", world.elsewhere, namespace=None)
    async with world.engine(world.settings(world.row("Web", "drift", **(row or {})), **settings)) as engine:
        await world.custom("Web", "a", {"childApiVersion": world.api_version, "elsewhere": world.elsewhere})
        await world.condition("Web", "a", "Deployed", "True", "InstallSuccessful")
        made = Scene(world)
        await made.remember()
        made.engine = engine
        yield made


@pytest.mark.parametrize("way", WAYS)
async def test_every_kind_is_put_back(world, way):
    """Also cluster-scoped objects, those of other namespaces, of `kind: List`, with a keep policy, custom resources."""
    async with scene(world) as made:
        for target in TARGETS:
            if ops := target.ops(way):
                await made.patch(target, ops)
        await eventually(made.is_restored)
        found = await eventually(lambda: at_least(world, "DriftCorrected", len(TARGETS)))
        named = [message for message in found if "(changed by kubectl-edit)" in message]
        assert named == found or way == "removed", found  # nobody owns what isn't there
    assert len(world.calls) == 1


async def at_least(world, reason, count):
    """Return the Events once there are enough."""
    found = await world.events(reason)
    assert len(found) >= count, found
    return found


async def test_every_deleted_kind_comes_back(world):
    """All at once; the release's revision stays."""
    async with scene(world) as made:
        for target in TARGETS:
            await made.delete(target)
        await eventually(made.is_restored)
        await eventually(lambda: at_least(world, "DriftCorrected", len(TARGETS)))
    assert len(world.calls) == 1
