"""Whatever is in Helm's records, planted or left by other people's helm, ends in the custom resource's state."""

from __future__ import annotations

import contextlib
import time

import pytest

from gateway_operator.releases import names
from gateway_operator.releases.records import SECRET_PREFIX, RecordError, decode_payload, encode_payload
from releases_lab import CHARTS, eventually

OURS = (
    names.HOLDER_LABEL,
    names.OWNER_LABEL,
    names.DIGEST_LABEL,
    names.CHART_LABEL,
    names.REVISION_LABEL,
)
LONG = pytest.mark.long
LONG_AGO = time.time() - 3600


async def installed(world, settings):
    """Install release a, and stop."""
    async with world.engine(settings):
        await world.custom("Web", "a", {"text": "mine"})
        await world.ready("Web", "a")


async def edit(world, *, status, labels=None, at=LONG_AGO):
    """Rewrite the newest record: status, labels (None removes), time of helm's last write."""
    secret = (await world.records("a"))[-1]
    release = decode_payload(secret)
    release["info"]["status"] = status
    merged = secret["metadata"]["labels"] | {"status": status, "modifiedAt": str(int(at))} | (labels or {})
    secret["metadata"]["labels"] = {k: v for k, v in merged.items() if v is not None}
    secret["data"]["release"] = encode_payload(release)
    await world.api.replace(await world.api.resource("v1", "Secret"), secret, world.namespace)


async def plant(world, *, status, version, labels=None):
    """Add a record that is a copy of the newest one, written long ago."""
    secret = (await world.records("a"))[-1]
    release = decode_payload(secret)
    release["version"] = version
    release["info"]["status"] = status
    merged = secret["metadata"]["labels"] | {"status": status, "version": str(version)}
    merged |= {"modifiedAt": str(int(LONG_AGO))} | (labels or {})
    await world.create(
        "v1",
        "Secret",
        f"{SECRET_PREFIX}a.v{version}",
        metadata={"labels": {k: v for k, v in merged.items() if v is not None}},
        type="helm.sh/release.v1",
        data={"release": encode_payload(release)},
    )


async def healed(world, *, revision):
    """Wait until the release is what the custom resource says, at this revision, and whole."""

    async def whole():
        labels = (await world.records("a"))[-1]["metadata"]["labels"]
        assert (labels["status"], labels["version"]) == ("deployed", str(revision)), world.verbs
        assert labels[names.OWNER_LABEL] == f"Web.{world.group}.a"
        assert labels[names.REVISION_LABEL] == str(revision)
        obj = await world.ready("Web", "a", within=1)
        assert obj["status"]["deployedRelease"]["revision"] == revision
        assert (await world.get("v1", "ConfigMap", "a"))["data"] == {"text": "mine"}
        return await world.get("v1", "Service", "a")

    await eventually(whole)


# the same cases in other combinations; tests/engine has each state by default, too
OFTEN = [
    ("ours", "pending-install"),
    ("ours", "pending-rollback"),
    ("a stranger's", "pending-upgrade"),
    ("a stranger's", "pending-rollback"),
]


@pytest.mark.parametrize(
    ("whose", "status"),
    [
        ("ours", "pending-upgrade"),
        ("a stranger's", "pending-install"),
        *(pytest.param(*case, marks=LONG) for case in OFTEN),
    ],
)
async def test_t26_planted_pending_record(world, whose, status):
    """T26: on top of what is deployed; ours is dead at once, a stranger's after its time. One upgrade."""
    settings = world.settings(world.row("Web"))
    await installed(world, settings)
    own = {names.REVISION_LABEL: "2"} if whose == "ours" else dict.fromkeys(OURS)
    await plant(world, status=status, version=2, labels=own)
    await world.delete("v1", "Service", "a")
    async with world.engine(settings):
        await healed(world, revision=3)
    assert world.verbs == ["upgrade", "upgrade"]


async def test_t26_interrupted_rollback_of_ours(world):
    """T26: it bears the labels of the revision that it copies; the one before says whose it is, so nobody waits."""
    settings = world.settings(world.row("Web"))
    await installed(world, settings)
    await plant(world, status="failed", version=2, labels={names.REVISION_LABEL: "2", names.INTENT_LABEL: "3.1"})
    await plant(
        world,
        status="pending-rollback",
        version=3,
        labels={names.INTENT_LABEL: None, "modifiedAt": str(int(time.time()))},
    )
    async with world.engine(settings):
        await healed(world, revision=4)
    assert world.verbs == ["upgrade", "upgrade"]


# tests/engine has the others by default
@pytest.mark.parametrize("status", ["unknown", *(pytest.param(s, marks=LONG) for s in ("failed", "superseded"))])
async def test_t11_failed_and_superseded_records(world, status):
    """T11: the only record says that nothing is deployed: one upgrade, no skip, nothing uninstalled."""
    settings = world.settings(world.row("Web"))
    await installed(world, settings)
    await edit(world, status=status)
    async with world.engine(settings):
        await healed(world, revision=2)
    assert world.verbs == ["upgrade", "upgrade"]


async def test_uninstalled_and_uninstalling_records(world, monkeypatch):
    """What a dead operator uninstalled half, and somebody with history, is installed again."""
    for module in ("runs", "state"):
        monkeypatch.setattr(f"gateway_operator.releases.{module}.UNINSTALL_GRACE", 3.0)
    settings = world.settings(world.row("Web"))
    await installed(world, settings)
    await edit(world, status="uninstalling", labels={names.HOLDER_LABEL: "somebody-dead"}, at=time.time())
    async with world.engine(settings):
        await healed(world, revision=1)
        assert world.verbs == ["upgrade", "uninstall", "upgrade"]
        await world.helm("uninstall", "a", "--keep-history")

        async def again():
            return len(world.calls) == 4

        await eventually(again)
        await healed(world, revision=2)


@pytest.mark.parametrize("digest", ["the wanted one", "another"])
async def test_unreadable_record(world, digest):
    """A payload that is no release goes; the objects are adopted by an install. A stranger's would be left alone."""
    settings = world.settings(world.row("Web"))
    await installed(world, settings)
    secret = (await world.records("a"))[-1]
    secret["data"]["release"] = "bm90aGluZw=="
    if digest == "another":
        secret["metadata"]["labels"][names.DIGEST_LABEL] = "0" * 40
    await world.api.replace(await world.api.resource("v1", "Secret"), secret, world.namespace)
    async with world.engine(settings):

        async def readable():
            with contextlib.suppress(RecordError):
                return decode_payload((await world.records("a"))[-1])

        await eventually(readable)
        await healed(world, revision=1)
        assert world.verbs == ["upgrade"] * (2 if digest == "the wanted one" else 3)  # one that helm refused
        [message] = await eventually(lambda: world.events("RecordUnreadable"))
        assert "sh.helm.release.v1.a.v1" in message
        await world.delete(world.api_version, "Web", "a")
        await eventually(lambda: world.gone(world.api_version, "Web", "a"))
    assert await world.records("a") == []
    assert await world.gone("v1", "ConfigMap", "a")


async def test_unreadable_record_of_a_deleted_resource(world):
    """Helm can't uninstall what it can't read: the objects are found by their annotations."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        with world.held():
            secret = (await world.records("a"))[-1]
            secret["data"]["release"] = "bm90aGluZw=="
            secret["metadata"]["labels"][names.DIGEST_LABEL] = "0" * 40
            await world.delete(world.api_version, "Web", "a")
            await world.api.replace(await world.api.resource("v1", "Secret"), secret, world.namespace)
        await eventually(lambda: world.gone(world.api_version, "Web", "a"))
    assert await world.records("a") == []
    assert await world.gone("v1", "ConfigMap", "a")


async def test_t27_upgraded_outside(world):
    """T27: somebody's helm upgrade copies our labels and is undone all the same, by one upgrade."""
    settings = world.settings(world.row("Web"))
    async with world.engine(settings):
        await world.custom("Web", "a", {"text": "mine"})
        await world.ready("Web", "a")
        await world.helm("upgrade", "a", str(CHARTS / "web"), "--set", "text=theirs")

        async def back():
            return len(await world.records("a")) == 3

        await eventually(back)
        await healed(world, revision=3)
    assert world.verbs == ["upgrade", "upgrade"]


async def two_revisions(world):
    """Have release a in its second revision."""
    await world.custom("Web", "a", {"text": "old"})
    await world.ready("Web", "a")
    await world.change("Web", "a", {"text": "mine"})

    async def second():
        return len(await world.records("a")) == 2 and await world.ready("Web", "a")

    await eventually(second)


async def test_t27_rolled_back_outside(world):
    """T27: to an older revision of ours, whose labels it copies; one upgrade."""
    settings = world.settings(world.row("Web"))
    async with world.engine(settings):
        await two_revisions(world)
        await world.helm("rollback", "a", "1")

        async def back():
            return len(await world.records("a")) == 4

        await eventually(back)
        await healed(world, revision=4)
    assert world.verbs == ["upgrade", "upgrade", "upgrade"]


async def test_t27_uninstalled_outside(world):
    """T27: one install, once their helm is through."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"text": "mine"})
        await world.ready("Web", "a")
        await world.helm("uninstall", "a")

        async def again():
            return len(world.calls) == 2

        await eventually(again)
        await healed(world, revision=1)
    assert world.verbs == ["upgrade", "upgrade"]


# tests/engine has the oldest by default, and the last test of this file has all
@pytest.mark.parametrize("part", [pytest.param("oldest", marks=LONG), "newest", pytest.param("all", marks=LONG)])
async def test_t27_history_deleted_by_hand(world, part):
    """T27: missing old revisions matter to nobody; without the newest or any, one helm run makes it whole."""
    settings = world.settings(world.row("Web"))
    async with world.engine(settings):
        await two_revisions(world)
    records = await world.records("a")
    for record in {"oldest": records[:1], "newest": records[1:], "all": records}[part]:
        await world.delete("v1", "Secret", record["metadata"]["name"])
    async with world.engine(settings) as engine:
        await healed(world, revision=1 if part == "all" else 2)

        async def idle():
            return engine.idle

        await eventually(idle)
    assert len(world.calls) == (2 if part == "oldest" else 3)


async def test_t28_unmanaged_release_of_the_same_chart_is_adopted(world):
    """T28: whoever installed it; one upgrade, no object is made anew."""
    await world.helm("install", "a", str(CHARTS / "web"), "--set", "text=theirs")
    before = (await world.get("apps/v1", "Deployment", "a"))["metadata"]["uid"]
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"text": "mine"})
        await healed(world, revision=2)
    assert (await world.get("apps/v1", "Deployment", "a"))["metadata"]["uid"] == before
    assert world.verbs == ["upgrade"]


async def test_objects_without_a_record_are_adopted(world):
    """A half install whose record is gone: Helm takes over what carries its annotations."""
    settings = world.settings(world.row("Web"))
    await installed(world, settings)
    before = (await world.get("apps/v1", "Deployment", "a"))["metadata"]["uid"]
    await world.delete("v1", "Secret", (await world.records("a"))[0]["metadata"]["name"])
    await world.delete("v1", "Service", "a")
    async with world.engine(settings):
        await healed(world, revision=1)
    assert (await world.get("apps/v1", "Deployment", "a"))["metadata"]["uid"] == before
