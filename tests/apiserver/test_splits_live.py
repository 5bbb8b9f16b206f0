"""From policies to gateways, with the operator as a process: policies become values, a release, a ConfigMap."""

from __future__ import annotations

import base64
import copy
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusters_lab import add_member, apply, has, policy, until
from gateway_operator.clusters.connection import SERVICES
from gateway_operator.clusters.members import CONFIG_MAPS, SECRETS
from gateway_operator.clusters.service import NGINXES, POLICIES
from gateway_operator.errors import NotFound
from gateway_operator.kube import Api
from gateway_operator.releases import names
from gateway_operator.releases.sizes import SECRET_LIMIT
from gateway_operator.releases.traffic import KEPT
from gateway_operator.traffic.config import CONFIG_KEY, SplitConfig, parse
from lab.apiserver import ApiCluster
from operator_process import operator
from splits_lab import at_work, nginx, wanted_by

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
SAMPLE = ROOT / "docs" / "samples" / "clustertrafficpolicy.yaml"


async def told(api: Api, home: str, name: str = "edge") -> SplitConfig | None:
    """Return the split config of a gateway, None where there is none."""
    try:
        found = await api.get(CONFIG_MAPS, f"{name}-multicluster", home)
    except NotFound:
        return None
    return parse(found["data"][CONFIG_KEY])


async def revisions(api: Api, home: str, name: str = "edge") -> list[dict[str, str]]:
    """Return the labels of a release's records, oldest first."""
    found = (await api.list(SECRETS, home, label_selector=f"owner=helm,name={name}")).items
    return sorted((one["metadata"]["labels"] for one in found), key=lambda labels: int(labels["version"]))


async def settled_revisions(api: Api, home: str) -> list[dict[str, str]]:
    """Return the same once the newest is deployed."""
    found = await revisions(api, home)
    return found if found and found[-1]["status"] == "deployed" else []


def weights(config: SplitConfig | None) -> list[list[int | None]]:
    """Return the weights of each policy's first path."""
    found = [one.paths[0].backend for one in config.policies] if config else []
    return [[cluster.weight for cluster in backend.clusters] for backend in found if backend]


async def weighs(api: Api, home: str, *wanted: list[int | None]) -> bool:
    """Tell whether a gateway has been told these weights."""
    return weights(await told(api, home)) == list(wanted)


async def test_the_sample_flows_through(api: Api, centre: ApiCluster, home: str, helm_binary: Path) -> None:
    """The seed's sample applies unchanged and reaches the gateway; an unreachable member hinders nothing."""
    sample = yaml.safe_load(SAMPLE.read_text())
    centre.kubectl("apply", "-n", home, "-f", "-", input=json.dumps(moved(sample, home)))
    for name in ("wuhan", "zhuhai"):
        await add_member(api, home, name, centre.kubeconfig.read_text().replace("127.0.0.1:", "127.0.0.1:1"))
    with at_work(centre, home, helm_binary) as running:

        async def arrived() -> bool:
            config = await told(api, home)
            return config is not None and bool(config.policies[0].paths[0].backend)

        await until(arrived, "the split config")
        config = await told(api, home)
        assert config is not None
        assert [(path.where, path.host, path.type, path.path) for path in config.policies[0].paths] == [
            ("spec.rules[0].http.paths[0]", "cafe.example.com", "Prefix", "/tea"),
            ("spec.defaultBackend", "", "Default", ""),
        ]
        backend = config.policies[0].paths[0].backend
        assert backend is not None
        assert [(one.name, one.weight, one.mirror[:4]) for one in backend.clusters] == [
            ("wuhan", 80, "ctp-"),
            ("zhuhai", 20, "ctp-"),
        ]
        await until(lambda: mirrored_by_helm(api, home, 3), "the mirror Services")
        clusters = running.report()["clusters"]
        # by name: the report speaks of the whole cluster, and other tests' gateways stand on it, too
        assert clusters["gateways"][f"{home}/edge"] == config.digest
        assert clusters["members"]["wuhan"]["connected"] is False


async def mirrored_by_helm(api: Api, home: str, count: int) -> bool:
    """Tell whether the chart has made so many mirror Services."""
    found = (await api.list(SERVICES, home, label_selector="k8s.nginx.org/mirror=true")).items
    assert all(one["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm" for one in found)
    assert all(one["spec"]["clusterIP"] == "None" and "selector" not in one["spec"] for one in found)
    return len(found) == count


def moved(sample: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Return the sample in another namespace, its services beside it."""
    text = json.dumps(sample).replace('"namespace": "default"', f'"namespace": "{namespace}"')
    return dict(json.loads(text))


async def test_a_change_is_a_revision_and_nothing_else_is(
    api: Api, centre: ApiCluster, home: str, helm_binary: Path
) -> None:
    """A weight makes one revision, marked so; a restart makes none; the last policy takes the ConfigMap with it."""
    await apply(api, policy(home, {"wuhan": 80, "zhuhai": 20}))
    with at_work(centre, home, helm_binary):
        await until(lambda: weighs(api, home, [80, 20]), "the first config")
        await apply(api, policy(home, {"wuhan": 60, "zhuhai": 40}))
        await until(lambda: weighs(api, home, [60, 40]), "the second config")
        before = await until(lambda: settled_revisions(api, home), "helm's end")
        assert before[-1][names.CAUSE_LABEL] == names.TRAFFIC
        deployment = centre.kubectl(
            "get", "deploy", "-n", home, "edge-controller", "-o", "jsonpath={.metadata.generation}"
        )
        assert deployment.strip() == "1", "a policy restarts no pod"
    with at_work(centre, home, helm_binary) as again:
        again.wait(lambda: bool(again.report().get("clusters", {}).get("known")))

        async def settled() -> bool:
            return (await api.get(NGINXES, "edge", home)).get("status", {}).get("observedGeneration") == 1

        await until(settled, "a pass")
        assert await revisions(api, home) == before
        assert await weighs(api, home, [60, 40])
        await api.delete(POLICIES, "cafe", home)

        async def gone() -> bool:
            return await told(api, home) is None

        await until(gone, "the end of the ConfigMap")


@pytest.mark.long
async def test_weights_push_out_nobody_s_revisions(
    api: Api, centre: ApiCluster, home: str, helm_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After more weights than Helm keeps revisions, the two that people made are there, and five of traffic."""
    monkeypatch.setenv("GATEWAY_OPERATOR_HISTORY_MAX", "2")
    await apply(api, policy(home, {"wuhan": 1}))

    async def deployed(revision: int) -> list[dict[str, str]]:
        found = await settled_revisions(api, home)
        return found if found and int(found[-1]["version"]) >= revision else []

    with at_work(centre, home, helm_binary):
        await until(lambda: weighs(api, home, [1]), "the first config", PATIENCE)
        first = await until(lambda: deployed(1), "the first revision", PATIENCE)
        await apply(api, nginx(home, "edge", watchIngressWithoutClass=True, replicaCount=2))
        newest = int(first[-1]["version"]) + 1
        people = [one["version"] for one in await until(lambda: deployed(newest), "a person's revision", PATIENCE)][-2:]
        for weight in range(2, KEPT + 4):
            await apply(api, policy(home, {"wuhan": weight}))
            newest += 1
            await until(partial(deployed, newest), f"revision {newest}", PATIENCE)
            assert await weighs(api, home, [weight])
        left = await revisions(api, home)
    by_traffic = [one["version"] for one in left if one.get(names.CAUSE_LABEL) == names.TRAFFIC]
    assert [one["version"] for one in left if one["version"] not in by_traffic] == people
    assert [int(version) for version in by_traffic] == list(range(newest - KEPT + 1, newest + 1))


@pytest.mark.long
async def test_a_thousand_policies_fit(
    api: Api, centre: ApiCluster, home: str, helm_binary: Path, tmp_path: Path
) -> None:
    """Helm's Secret has room for them; of what is too much the newest are left out, and both sides say so."""
    rows = tmp_path / "watches.yaml"  # without a release for the mirrors of each policy
    row = {
        "group": NGINXES.group,
        "version": NGINXES.version,
        "kind": "Nginx",
        "chart": str(ROOT / "charts/ingress-nginx"),
    }
    rows.write_text(yaml.safe_dump([row]))
    for name in ("wuhan", "zhuhai"):
        await add_member(api, home, name, centre.kubeconfig.read_text().replace("127.0.0.1:", "127.0.0.1:1"))
    for number in range(1000):
        await apply(api, policy(home, {"wuhan": 80, "zhuhai": 20}, name=f"policy-{number:04d}"))
    with operator(centre, home, "--watches-path", str(rows), "--namespace", home, helm=helm_binary):

        async def complete() -> bool:
            config = await told(api, home)
            return config is not None and len(config.policies) == 1000

        await until(complete, "a thousand policies", 8 * PATIENCE)
        await until(lambda: settled_revisions(api, home), "the release", PATIENCE)
        records = (await api.list(SECRETS, home, label_selector="owner=helm,name=edge")).items
        largest = max(len(base64.b64decode(one["data"]["release"])) for one in records)
        assert largest < SECRET_LIMIT / 2, largest
        for number in range(2):
            await apply(api, large(policy(home, {"wuhan": 80, "zhuhai": 20}, name=f"zz-{number}"), 20))
        await until(lambda: has(api, "zz-1", "Programmed", "False", "ConfigTooLarge", namespace=home), "told", PATIENCE)

        async def gateway_says() -> bool:
            found = await api.get(NGINXES, "edge", home)
            return f"{home}/zz-1" in ((found.get("status") or {}).get("message") or "")

        await until(gateway_says, "the gateway's word", PATIENCE)
        config = await told(api, home)
        assert config is not None
        assert len({one.name for one in config.policies} - {"zz-0", "zz-1"}) == 1000, "the older ones stay"


def large(obj: dict[str, Any], rules: int) -> dict[str, Any]:
    """Give a policy many hosts, each with fifty paths."""
    [first] = obj["spec"]["rules"]
    [path] = first["http"]["paths"]
    paths = [path | {"path": f"/tea-{number}"} for number in range(50)]
    return obj | {
        "spec": {"rules": [{"host": f"h{number}.{first['host']}", "http": {"paths": paths}} for number in range(rules)]}
    }


async def test_each_gateway_gets_its_own(api: Api, centre: ApiCluster, home: str, helm_binary: Path) -> None:
    """Class and image decide; of two policies for one place the older serves, and the younger takes over."""
    await apply(
        api,
        nginx(home, "inner", "inner"),
        nginx(home, "alien", image={"repository": "x/controller"}, watchIngressWithoutClass=True),
    )
    mine, other = policy(home, {"wuhan": 1}), policy(home, {"zhuhai": 1}, name="other")
    other["spec"]["ingressClassName"] = "inner"
    young = copy.deepcopy(mine)
    young["metadata"]["name"] = "young"
    await apply(api, mine, other)
    with at_work(centre, home, helm_binary):

        async def apart() -> bool:
            found = [await told(api, home, name) for name in ("edge", "inner")]
            return [[one.name for one in config.policies] for config in found if config] == [["cafe"], ["other"]]

        await until(apart, "a config for each")
        assert await told(api, home, "alien") is None
        await apply(api, young)
        await until(lambda: has(api, "young", "Accepted", "False", "Conflicted", namespace=home), "the loser")
        rival = f"ClusterTrafficPolicy {home}/young"
        await until(lambda: wanted_by(api, home, "cafe", [rival]), "the winner's word")
        await api.delete(POLICIES, "cafe", home)

        async def taken_over() -> bool:
            config = await told(api, home)
            return config is not None and [one.name for one in config.policies] == ["young"]

        await until(taken_over, "the loser's turn")
        await until(lambda: wanted_by(api, home, "young", []), "nobody else's")
