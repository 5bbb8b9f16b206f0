"""Selectors: who is served, who no longer is, and two operators beside each other (T19)."""

from __future__ import annotations

import asyncio

import yaml

from gateway_operator.releases import names
from gateway_operator.releases.finalizer import has_finalizer
from releases_lab import World, conditions, eventually

MINE = {"matchLabels": {"side": "a"}}
YOURS = {"matchLabels": {"side": "b"}}


async def label(world, name, side):
    await world.patch(world.api_version, "Web", name, {"metadata": {"labels": {"side": side}}})


async def is_free(world, name):
    return not has_finalizer(await world.look("Web", name))


async def test_t19_an_object_that_loses_its_label_is_let_go_and_taken_back(world):
    """T19: its release stays, nothing hangs on a finalizer, an Event says so; the label brings it back without helm."""
    async with world.engine(world.settings(world.row("Web", selector=MINE))):
        await world.custom("Web", "a", labels={"side": "a"})
        await world.custom("Web", "other")
        await world.ready("Web", "a")
        await label(world, "a", None)
        await eventually(lambda: is_free(world, "a"))
        [told] = await eventually(lambda: world.events("NotSelected"))
        assert f"helm uninstall a -n {world.namespace}" in told
        await world.change("Web", "a", {"port": 81})
        await world.delete("v1", "ConfigMap", "a")
        await asyncio.sleep(1)
        assert await world.gone("v1", "ConfigMap", "a")
        assert len(await world.records("a")) == 1
        await label(world, "a", "a")
        await world.ready("Web", "a")
        assert (await world.get("v1", "Service", "a"))["spec"]["ports"][0]["port"] == 81
        await eventually(lambda: is_held(world, "a"))

        await label(world, "a", None)
        await eventually(lambda: is_free(world, "a"))
        await world.delete(world.api_version, "Web", "a")
        await eventually(lambda: world.gone(world.api_version, "Web", "a"))
        assert len(await world.records("a")) == 2
    assert "status" not in await world.look("Web", "other")


async def is_held(world, name):
    return names.FINALIZER in ((await world.look("Web", name))["metadata"].get("finalizers") or [])


async def test_t19_selectors_hold_in_named_namespaces_too(world):
    """T19: with a list of namespaces the selector is the server's as well."""
    settings = world.settings(world.row("Web", selector=MINE), watch_namespaces=(world.namespace,))
    async with world.engine(settings):
        await world.custom("Web", "not")
        await world.custom("Web", "a", labels={"side": "a"})
        await world.ready("Web", "a")
        await asyncio.sleep(0.5)
        assert "status" not in await world.look("Web", "not")


async def test_t19_two_operators_never_touch_each_others_objects(world, tmp_path_factory, helm_binary):
    """T19: each serves its half; an object that changes sides changes its keeper, with its release and no helm run."""
    second = World(world.api, world.kubeconfig, tmp_path_factory.mktemp("second"), helm_binary)
    second.group, second.namespace = world.group, world.namespace
    one = world.settings(world.row("Web", selector=MINE)).model_copy(update={"identity": "one"})
    two = second.settings(world.row("Web", selector=YOURS)).model_copy(update={"identity": "two"})
    async with world.engine(one), second.engine(two):
        await world.custom("Web", "a", labels={"side": "a"})
        await world.custom("Web", "b", labels={"side": "b"})
        await world.ready("Web", "a")
        await world.ready("Web", "b")
        assert {name for _, _, name in world.calls} == {"a"}
        assert {name for _, _, name in second.calls} == {"b"}
        await label(world, "a", "b")
        await eventually(lambda: world.events("NotSelected"))
        await eventually(lambda: is_held(world, "a"))
        await asyncio.sleep(1)
        assert await is_held(world, "a")
        assert ([*world.calls], len(second.calls)) == (world.calls[:1], 1)
        await world.change("Web", "a", {"port": 81})
        await world.ready("Web", "a")
        assert [name for _, _, name in second.calls] == ["b", "a"]
        await world.delete(world.api_version, "Web", "a")
        await eventually(lambda: world.gone(world.api_version, "Web", "a"))
        assert await world.records("a") == []
        assert len(world.calls) == 1


async def test_a_changed_selector_lets_go_and_takes_in(world):
    """A reload of watches.yaml with another selector is nothing else than labels that changed."""
    async with world.engine(world.settings(world.row("Web", selector=MINE))):
        await world.custom("Web", "a", labels={"side": "a"})
        await world.custom("Web", "b", labels={"side": "b"})
        await world.ready("Web", "a")
        (world.folder / "watches.yaml").write_text(yaml.safe_dump([world.row("Web", selector=YOURS)]))
        await world.ready("Web", "b")
        await eventually(lambda: is_free(world, "a"))
        assert len(await world.records("a")) == 1
        assert conditions(await world.look("Web", "a"))["Ready"]["status"] == "True"
