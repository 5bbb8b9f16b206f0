"""Broken input, interrupted helm and killed operators end in a clear condition or a healthy release."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import pytest

from gateway_operator.releases import names
from gateway_operator.releases.records import decode_payload, encode_payload
from releases_lab import conditions, eventually


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"fail": "the chart says no"}, "RenderFailed"),
        ({"text": 3}, "ValuesRefused"),
        ({"port": 99999999}, "ObjectRefused"),
    ],
)
async def test_broken_value_is_told_and_neighbours_go_on(world, spec, word):
    """The reason is in the condition; fixing the spec heals at once; the neighbour never notices."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "bad", spec)
        await world.custom("Web", "good")
        await world.ready("Web", "good")
        failed = await world.condition("Web", "bad", "ReleaseFailed", "True", "InstallError")
        assert failed["message"].startswith(f"{word}: "), failed
        ready = conditions(await world.look("Web", "bad"))["Ready"]
        assert (ready["status"], ready["reason"]) == ("False", "InstallError")
        await world.change("Web", "bad", dict.fromkeys(spec))
        obj = await world.ready("Web", "bad")
        assert conditions(obj)["ReleaseFailed"]["status"] == "False"
    assert len(await world.events("InstallFailed")) == 1


async def plant(world, name, *, status, **labels):
    """Rewrite the newest record of a release as an operator that died would have left it."""
    secret = (await world.records(name))[-1]
    release = decode_payload(secret)
    release["info"]["status"] = status
    secret["metadata"]["labels"] |= {"status": status, **labels}
    secret["data"]["release"] = encode_payload(release)
    resource = await world.api.resource("v1", "Secret")
    await world.api.replace(resource, secret, world.namespace)


async def test_somebody_elses_pending_release_is_left_alone(world):
    """A pending record without holder may be a live helm: it is waited for, and said so."""
    settings = world.settings(world.row("Web"))
    async with world.engine(settings):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
    secret = (await world.records("a"))[-1]
    gone = dict.fromkeys([names.HOLDER_LABEL, names.OWNER_LABEL, names.DIGEST_LABEL, names.REVISION_LABEL])
    await world.patch("v1", "Secret", secret["metadata"]["name"], {"metadata": {"labels": gone}})
    await plant(world, "a", status="pending-upgrade")
    async with world.engine(settings):
        await world.condition("Web", "a", "Ready", "False", "Progressing", says="helm is at work")
    assert len(world.calls) == 1


RUNNER = """
import asyncio, json, sys
from gateway_operator.app import run_operator
from gateway_operator.settings import OperatorSettings

asyncio.run(run_operator(OperatorSettings.model_validate(json.loads(sys.argv[1]))))
"""


@contextlib.asynccontextmanager
async def operator_process(settings):
    """Run the operator in a process of its own."""
    settings = settings.model_copy(
        update={"leader_elect": False, "metrics_bind_address": "", "health_probe_bind_address": ""}
    )
    text = json.dumps(settings.model_dump(mode="json", by_alias=True))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUNNER, text, stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def alive(pid):
    """Tell whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# tests/engine/test_kills.py has a short form of those in the midst of a helm run
@pytest.mark.parametrize(
    "phase",
    [
        "before-helm",
        *(pytest.param(p, marks=pytest.mark.long) for p in ("mid-install", "mid-upgrade", "mid-uninstall")),
    ],
)
async def test_sigkill_of_the_operator_ends_in_a_healthy_release(world, phase):
    """The kernel takes helm along; the next operator unlocks what it left and finishes the work."""
    settings = world.settings(world.row("Web"))
    if phase in {"mid-upgrade", "mid-uninstall"}:
        async with world.engine(settings):
            await world.custom("Web", "a", {"count": 1 if phase == "mid-upgrade" else 150})
            await world.ready("Web", "a")
    runs = len(world.calls)
    async with operator_process(settings) as operator:
        hold = world.held() if phase == "before-helm" else contextlib.nullcontext()
        with hold:
            await start(world, phase)
            await eventually(lambda: in_the_midst(world, phase, runs))
            operator.send_signal(signal.SIGKILL)
            await operator.wait()
        pid = world.calls[-1][0]
        await eventually(lambda: asyncio.to_thread(lambda: not alive(pid)))
    if phase != "before-helm":
        assert (await world.records("a"))[-1]["metadata"]["labels"]["status"] in UNDER_WAY[phase]
    async with world.engine(settings.model_copy(update={"identity": "the-next-one"})):
        if phase == "mid-uninstall":
            await eventually(lambda: world.gone(world.api_version, "Web", "a"))
            assert await world.records("a") == []
            assert await world.gone("v1", "ConfigMap", "a-149")
            return
        await world.ready("Web", "a")
        assert (await world.records("a"))[-1]["metadata"]["labels"]["status"] == "deployed"
        assert (await world.get("v1", "ConfigMap", "a-149"))["data"] == {"number": "149"}


UNDER_WAY = {
    "mid-install": {"pending-install"},
    "mid-upgrade": {"pending-upgrade"},
    "mid-uninstall": {"uninstalling"},
}


async def start(world, phase):
    """Ask for what will be interrupted; 150 ConfigMaps take Helm a while."""
    if phase == "mid-upgrade":
        await world.change("Web", "a", {"count": 150})
    elif phase == "mid-uninstall":
        await world.delete(world.api_version, "Web", "a")
    else:
        await world.custom("Web", "a", {"count": 150})


async def in_the_midst(world, phase, runs):
    """Tell whether helm is in the middle of it."""
    if len(world.calls) == runs:
        return False
    if phase == "before-helm":
        return True
    records = await world.records("a")
    return bool(records) and records[-1]["metadata"]["labels"]["status"] in UNDER_WAY[phase]


async def test_cancelled_engine_leaves_no_helm(world):
    """A leader that steps down takes its helm with it before the next one starts."""
    async with world.engine(world.settings(world.row("Web"))):
        with world.held():
            await world.custom("Web", "a")

            async def called():
                return world.calls

            await eventually(called)
    assert not alive(world.calls[-1][0])
