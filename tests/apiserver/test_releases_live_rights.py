"""Rights that are missing are told: by the row, by an Event, and by readiness; and they are noticed when they come."""

from __future__ import annotations

import json

import pytest

from gateway_operator.kube import Api, ObjectRef
from releases_lab import eventually

RULES = (
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
)


@pytest.fixture
async def limited(world, api_cluster):
    """A client that may do what RULES and the tests give it, and a function that gives more."""
    name = world.namespace
    api_cluster.kubectl("create", "serviceaccount", "operator", "-n", name)
    api_cluster.kubectl(
        "create", "clusterrolebinding", name, f"--clusterrole={name}", f"--serviceaccount={name}:operator"
    )
    token = api_cluster.kubectl("create", "token", "operator", "-n", name).strip()
    config = json.loads(api_cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    file = world.folder / "limited.kubeconfig"
    file.write_text(json.dumps(config))

    def allow(*verbs):
        rule = {"apiGroups": [world.group], "resources": ["webs"], "verbs": list(verbs)}
        meta = {"name": name}
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta}
        api_cluster.kubectl("apply", "-f", "-", input=json.dumps(role | {"rules": [*RULES, rule]}))

    client = await Api.connect(file)
    yield client, allow
    await client.close()


@pytest.mark.parametrize("verbs", [("get",), ("get", "list")])
async def test_a_row_that_may_not_list_or_watch_is_not_ready(world, limited, verbs):
    """The problem names the right; when it is granted, the row is served without a restart."""
    client, allow = limited
    allow(*verbs)
    about = ObjectRef("coordination.k8s.io/v1", "Lease", world.namespace, "operator")
    settings = world.settings(world.row("Web"))
    async with world.engine(settings, api=client, about=about) as engine:

        async def told():
            health = engine.health()
            missing = "watch" if "list" in verbs else "list"
            return not health.ready and [missing in (r.problem or "") and not r.serving for r in health.rows] == [True]

        await eventually(told)
        assert any("watch" in text or "list" in text for text in await eventually(lambda: world.events("RowNotServed")))
        allow("get", "list", "watch", "patch", "update")
        await eventually(lambda: serving(engine), within=60)


async def serving(engine):
    return engine.health().ready and all(row.serving for row in engine.health().rows)
