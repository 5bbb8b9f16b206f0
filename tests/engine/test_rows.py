"""What watches.yaml and annotations say, each test with an operator of its own: T10 and T22."""

from __future__ import annotations

import subprocess

import pytest

from tests.apiserver.releases_lab import conditions, eventually
from tests.engine.operators import write_rows
from tests.engine.scenes import CHARTS, SOON, is_true

ROWS: dict[str, dict[str, object]] = {}
KINDS = ("Web", "Other")


@pytest.fixture(autouse=True, scope="module")
def kinds(stage):
    """The kinds of this module; each test runs its own operators."""
    stage.define(*KINDS)


@pytest.mark.parametrize("suppress", [False, True], ids=["shown", "suppressed"])
async def test_t10_overrides_are_told(scene, suppress):
    """A Warning for each overridden value; the suppressed form hides what it is."""
    row = scene.stage.row("Web", overrideValues={"text": "from-the-row"})
    with scene.alone(row, suppress=suppress):
        await scene.install("Web", "a", {"text": "mine"})
        assert await scene.text("a") == "from-the-row"

        async def told():
            found = [e for e in await scene.warnings("a") if e["reason"] == scene.profile.override_event]
            return [e["message"] for e in found if "text" in e["message"]]

        [message] = await eventually(told)
        assert ("from-the-row" in message) is not suppress
        assert ("****" in message) is suppress


@pytest.mark.long  # test_releases_life.py
async def test_t10_overrides_have_types(scene):
    """An override that --set would take for a boolean is one, so that a schema accepts it."""
    row = scene.stage.row("Web", overrideValues={"flag": "true", "replicas": "2"})
    with scene.alone(row):
        await scene.install("Web", "a")
        assert (await scene.get("v1", "ConfigMap", "a"))["data"]["flag"] == "bool"
        assert (await scene.get("apps/v1", "Deployment", "a"))["spec"]["replicas"] == 2


BAD = {
    "yaml": ("- kind: [", "yaml"),
    "version": ([{"group": "g.example.com", "kind": "A", "chart": "CHART"}], "version"),
    "kind": ([{"group": "g.example.com", "version": "v1", "chart": "CHART"}], "kind"),
    "duplicate": ([{"group": "g.example.com", "version": "v1", "kind": "A", "chart": "CHART"}] * 2, "A"),
    "chart": ([{"group": "g.example.com", "version": "v1", "kind": "A", "chart": "/absent/chart"}], "/absent/chart"),
    "template": (
        [{"group": "g.example.com", "version": "v1", "kind": "A", "chart": "CHART", "overrideValues": {"x": "{{ nil"}}],
        "x",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_t22_bad_row_ends_the_start(stage, what):
    """A bad row of watches.yaml ends the start with an error that names what is wrong."""
    rows, named = BAD[what]
    operator = stage.operate()
    if isinstance(rows, str):
        operator.launch.watches.write_text(rows)
    else:
        chart = str(CHARTS / "app")
        write_rows(operator.launch.watches, [{k: chart if v == "CHART" else v for k, v in r.items()} for r in rows])
    code = operator.spawn().wait(60)
    assert code != 0
    assert named.lower() in operator.tail(50).lower()


async def test_t22_environment_in_override(scene):
    """Variables of the operator's environment are put into overrides."""
    row = scene.stage.row("Web", overrideValues={"text": "${SUITE_WORD}!"}, dryRunOption="server")
    with scene.alone(row):
        await scene.install("Web", "a")
        assert await scene.text("a") == "from-the-environment!"


async def test_t22_template_in_override(scene):
    """A Go template in an override is evaluated or refused at the start, never used as it stands."""
    row = scene.stage.row("Web", overrideValues={"text": '{{ "word" | upper }}'})
    operator = scene.stage.operate(row, selected=(scene.namespace,))
    process = operator.spawn()
    await scene.custom("Web", "a")

    async def decided():
        return process.poll() is not None or is_true(await scene.look("Web", "a"), "Deployed")

    await eventually(decided)
    if process.poll() is not None:
        assert process.poll() != 0
        assert "overrideValues.text" in operator.tail(50)
        return
    assert await scene.text("a") == "WORD"


@pytest.mark.long  # test_releases_life_names.py
async def test_t22_two_kinds(scene):
    """Two kinds have two charts."""
    with scene.alone(scene.stage.row("Web"), scene.stage.row("Other", "app-crds", crdPolicy="Skip")):
        await scene.install("Web", "a")
        await scene.install("Other", "b", {"text": "other", "kinds": {"enabled": False}})
        assert await scene.text("b") == "other"


async def test_t22_chart_of_another_publisher(scene, tmp_path):
    """What `helm create` writes runs unchanged, with the watches.yaml of a Helm operator."""
    subprocess.run([scene.stage.helm, "create", "published"], cwd=tmp_path, check=True, capture_output=True)
    row = {
        **scene.stage.row("Web", tmp_path / "published"),
        "watchDependentResources": True,
        "overrideValues": {"image.repository": "example.com/${SUITE_WORD}"},
        "reconcilePeriod": "5m",
        "maxConcurrentReconciles": 2,
        "selector": {"matchLabels": {"team": "one"}},
    }
    with scene.alone(row):
        spec = {"replicaCount": 1, "serviceAccount": {"create": True}, "autoscaling": {"enabled": False}}
        await scene.install("Web", "a", spec, labels={"team": "one"})
        deployment = await scene.get("apps/v1", "Deployment", "a-published")
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        assert container["image"].startswith("example.com/from-the-environment:")
        await scene.delete("v1", "Service", "a-published")
        await eventually(lambda: scene.get("v1", "Service", "a-published"), within=SOON)
        await scene.change("Web", "a", {"replicaCount": 2})
        await scene.deployed("Web", "a", revision=2)
        assert conditions(await scene.look("Web", "a"))["Deployed"]["reason"] == "UpgradeSuccessful"
        await scene.remove("Web", "a")
        assert await scene.gone("apps/v1", "Deployment", "a-published")
