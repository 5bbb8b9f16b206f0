"""Members, mirror and status on three real API servers: what is written, what stays, and what is said."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clusters_lab import (
    add_member,
    apply,
    at_work,
    condition,
    has,
    mirrored,
    policy,
    prepare,
    run_service,
    shares,
    status,
    until,
    with_token,
)
from gateway_operator.clusters import joining, kubeconfig
from gateway_operator.clusters.connection import SERVICES, SLICES
from gateway_operator.clusters.members import CONFIG_MAPS, MEMBERS, SECRETS
from gateway_operator.clusters.service import POLICIES
from gateway_operator.errors import Forbidden
from gateway_operator.kube import Api, Connection
from lab.apiserver import ApiCluster
from lab.control import free_ports
from lab.pki import Authority
from releases_lab import settled

NAMES = ("wuhan", "zhuhai")


@pytest.fixture(scope="module")
def clusters(tmp_path_factory, api_cluster) -> Iterator[dict[str, ApiCluster]]:
    """Two clusters beside the centre."""
    prepare(api_cluster)
    folder = tmp_path_factory.mktemp("members")
    with ThreadPoolExecutor() as pool:  # untied: they would die with the threads that start them
        found = list(pool.map(lambda name: ApiCluster.start(folder, name, tied=False), NAMES))
    yield dict(zip(NAMES, found, strict=True))
    for cluster in found:
        cluster.stop()


@pytest.fixture
async def members(clusters) -> AsyncIterator[dict[str, Api]]:
    """Clients of the two, as administrator."""
    found = {name: await Api.connect(cluster.kubeconfig) for name, cluster in clusters.items()}
    yield found
    for client in found.values():
        await client.close()


@pytest.fixture(autouse=True)
async def _clean(api, clusters) -> AsyncIterator[None]:
    """No test sees another's members and policies."""
    yield
    for res in (POLICIES, MEMBERS):
        for item in (await api.list(res)).items:
            await api.delete(res, item["metadata"]["name"], item["metadata"].get("namespace"))


def text_of(cluster: ApiCluster) -> str:
    """Return an administrator's kubeconfig."""
    return cluster.kubeconfig.read_text()


async def versions(api: Api, namespace: str) -> set[str]:
    """Return the versions of all mirror objects and policies."""
    listings = [await api.list(res, namespace) for res in (SERVICES, SLICES, POLICIES)]
    return {item["metadata"]["resourceVersion"] for listing in listings for item in listing.items}


async def test_endpoints_of_members_stand_in_the_centre(api, clusters, members, namespace):
    """The sample's case: labels of the Multi-Cluster Services API, honest shares, nothing written without a change."""
    await run_service(members["wuhan"], namespace, "tea-svc", ["10.1.0.1", "10.1.0.2"])
    await run_service(members["zhuhai"], namespace, "tea-svc", ["10.2.0.1"], port=9090)
    for name, cluster in clusters.items():
        await add_member(api, namespace, name, text_of(cluster), region="south")
    await apply(api, policy(namespace, {"wuhan": 80, "zhuhai": 20}))
    both = {"wuhan": ["10.1.0.1:8080", "10.1.0.2:8080"], "zhuhai": ["10.2.0.1:9090"]}
    async with at_work(api, namespace) as work:

        async def complete() -> bool:
            return await mirrored(api, namespace) == both

        await until(complete, "the mirror")
        await until(lambda: has(api, "cafe", "BackendsReady", "True", namespace=namespace), "ready")

        async def shared() -> bool:
            return await shares(api, namespace) == [
                ("wuhan", "80.00%", "80.00%", 2, "Active"),
                ("zhuhai", "20.00%", "20.00%", 1, "Active"),
            ]

        await until(shared, "shares of members that answer")
        service = (await api.list(SERVICES, namespace)).items[0]
        assert service["spec"]["clusterIP"] == "None"
        assert "selector" not in service["spec"]
        assert service["metadata"]["labels"]["multicluster.kubernetes.io/service-name"] == "tea-svc"

        async def counted() -> bool:
            return (await status(api, "wuhan")).get("endpoints") == 2

        await until(counted, "counts")
        facts = await status(api, "wuhan")
        assert facts["version"].startswith("v1.")
        assert (facts["region"], facts["services"], facts["namespaces"]) == ("south", 1, 1)
        await settled(lambda: versions(api, namespace), seconds=3)
        await run_service(members["wuhan"], namespace, "tea-svc", [])

        async def moved() -> bool:
            return [(share[2], share[4]) for share in await shares(api, namespace)] == [
                ("0.00%", "Empty"),
                ("100.00%", "Active"),
            ]

        await until(moved, "redistribution")
        assert [share.effective for share in work.outcomes[0].paths[0].split.shares] == [0, 10000]
        await api.delete(MEMBERS, "wuhan")

        async def left_alone() -> bool:
            return not any(task.get_name() == "member wuhan" for task in asyncio.all_tasks())

        await until(left_alone, "no more requests to a member that is gone")
        assert any(task.get_name() == "member zhuhai" for task in asyncio.all_tasks())


async def test_the_start_prunes_and_never_shrinks(api, clusters, members, namespace):
    """What nobody wants any more goes at the start; what isn't known yet stays as it is."""
    for name, ip in (("wuhan", "10.1.0.1"), ("zhuhai", "10.2.0.1")):
        await run_service(members[name], namespace, "tea-svc", [ip])
        await add_member(api, namespace, name, text_of(clusters[name]))
    await apply(api, policy(namespace, {"wuhan": 1, "zhuhai": 1}), policy(namespace, {"wuhan": 1}, name="other"))

    async def addresses(cluster: str, count: int) -> bool:
        return len((await mirrored(api, namespace)).get(cluster, ())) == count

    async with at_work(api, namespace):
        await until(lambda: addresses("wuhan", 2), "two policies")
        await until(lambda: addresses("zhuhai", 1), "zhuhai")
    await api.delete(POLICIES, "other", namespace, propagation="Orphan")
    down = json.loads(text_of(clusters["zhuhai"]))
    down["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    await add_member(api, namespace, "zhuhai", json.dumps(down))
    async with at_work(api, namespace):
        await until(lambda: addresses("wuhan", 1), "pruned")
        await until(lambda: has(api, "zhuhai", "Connected", "False", "Unreachable"), "unreachable")
        assert (await mirrored(api, namespace))["zhuhai"] == ["10.2.0.1:8080"]
        assert (await status(api, "zhuhai"))["stale"] is True
        await api.delete(MEMBERS, "zhuhai")
        await until(lambda: addresses("zhuhai", 0), "a member that is gone")
        await until(lambda: has(api, "cafe", "ResolvedRefs", "False", "ClusterNotFound", namespace), "told")


async def test_an_unreachable_member_keeps_its_endpoints_until_probes_object(api, clusters, members, namespace):
    """While its API server is away only what is said changes; past staleTTL that goes which probes call dead."""
    await run_service(members["zhuhai"], namespace, "tea-svc", ["10.2.0.1", "10.2.0.2"])
    await add_member(api, namespace, "zhuhai", text_of(clusters["zhuhai"]), staleTTL="8s")
    await apply(api, policy(namespace, {"zhuhai": 1}))
    dead: set[str] = set()

    async def addresses(*ips: str) -> bool:
        return (await mirrored(api, namespace)).get("zhuhai") == [f"{ip}:8080" for ip in ips]

    async def stale() -> bool:
        said = await shares(api, namespace)
        return bool((await status(api, "zhuhai")).get("stale")) and said[0][2:] == ("100.00%", 2, "Stale")

    async with at_work(api, namespace, alive=lambda _cluster, address: address.ip not in dead) as work:
        await until(lambda: addresses("10.2.0.1", "10.2.0.2"), "the mirror")
        try:
            clusters["zhuhai"].kill_apiserver()
            dead.add("10.2.0.1")
            work.poke()
            await until(stale, "stale")
            assert await addresses("10.2.0.1", "10.2.0.2")
            await until(lambda: addresses("10.2.0.2"), "past the staleTTL")
        finally:
            clusters["zhuhai"].start_apiserver()
        await until(lambda: addresses("10.2.0.1", "10.2.0.2"), "back: the probes' word counts no more")
        await until(lambda: has(api, "zhuhai", "Connected", "True", "Connected"), "said")


def faults(cluster: ApiCluster, folder: Path) -> dict[str, tuple[str, str]]:
    """Return broken kubeconfigs and the reasons that they must be given."""

    def edited(part: str, **changes: Any) -> str:
        document = json.loads(text_of(cluster))
        document[f"{part}s"][0][part].update({key.replace("_", "-"): value for key, value in changes.items()})
        return json.dumps(document)

    foreign = base64.b64encode(Authority(folder, "foreign").pair.cert.read_bytes()).decode()
    (port,) = free_ports(1)
    return {
        "wrong-ca": (edited("cluster", certificate_authority_data=foreign), "CertificateNotTrusted"),
        "closed-port": (edited("cluster", server=f"https://127.0.0.1:{port}"), "Unreachable"),
        "expired-token": (with_token(cluster, "not.a.token"), "Unauthorized"),
        "runs-program": (edited("user", exec={"command": "steal"}), "KubeconfigRefused"),
        "names-file": (edited("user", tokenFile="/etc/passwd"), "KubeconfigRefused"),
        "no-yaml": ("{", "KubeconfigInvalid"),
    }


async def test_faults_are_told_and_heal(api, clusters, namespace, tmp_path):
    """Each wrong kubeconfig has its reason, without a word of its content; the right one mends it."""
    broken = faults(clusters["wuhan"], tmp_path)
    key = json.loads(text_of(clusters["wuhan"]))["users"][0]["user"]["client-key-data"]
    async with at_work(api, namespace):
        for name, (text, _) in broken.items():
            await add_member(api, namespace, name, text)
        for name, (_, reason) in broken.items():
            await until(lambda n=name, r=reason: has(api, n, "Connected", "False", r), f"{name}: {reason}")
        for name in broken:
            told = json.dumps(await status(api, name))
            assert not {word for word in (key, "steal", "passwd", "not.a.token") if word in told}
        for name in broken:
            await add_member(api, namespace, name, text_of(clusters["wuhan"]))
        for name in broken:
            await until(lambda n=name: has(api, n, "Connected", "True", "Connected"), f"{name} mended")


async def test_the_other_sources_of_members(api, clusters, members, namespace):
    """A labelled Secret and the seed's ConfigMap make members, too; a MemberCluster of the same name wins."""
    await run_service(members["wuhan"], namespace, "tea-svc", ["10.1.0.1"])
    await run_service(members["zhuhai"], namespace, "tea-svc", ["10.2.0.1"])
    label = {"k8s.nginx.org/member-clusters": "true"}
    data = {"wuhan": base64.b64encode(clusters["wuhan"].kubeconfig.read_bytes()).decode()}
    await apply(
        api,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "others", "namespace": namespace, "labels": label},
            "data": data,
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "ingress-watch-cluster", "namespace": namespace},
            "data": {"zhuhai": text_of(clusters["zhuhai"]), "wuhan": "{"},
        },
        {
            "apiVersion": "k8s.nginx.org/v1",
            "kind": "MemberCluster",
            "metadata": {"name": "centre"},
            "spec": {"local": True},
        },
        policy(namespace, None),
    )
    await run_service(api, namespace, "tea-svc", ["10.0.0.1"])

    async def all_there() -> bool:
        found = await mirrored(api, namespace)
        return found == {"centre": ["10.0.0.1:8080"], "wuhan": ["10.1.0.1:8080"], "zhuhai": ["10.2.0.1:8080"]}

    async with at_work(api, namespace):
        await until(all_there, "three sources")


@pytest.mark.parametrize("times", [4, pytest.param(100, marks=pytest.mark.long)])
async def test_rotations_lose_nothing(api, clusters, members, namespace, times):
    """Tokens come and go: no moment lacks an endpoint, the old one can go at once, and a bad one changes nothing."""
    wuhan = clusters["wuhan"]
    await run_service(members["wuhan"], namespace, "tea-svc", ["10.1.0.1", "10.1.0.2"])
    wish = joining.Wish("wuhan", namespace, "reader", wuhan.url, ca=wuhan.ca_file.read_text())
    looks: list[list[str]] = []

    async def rotate() -> joining.Token:
        token = await joining.issue(members["wuhan"], wish)
        await joining.prove(token)
        await joining.apply_all(api, joining.centre_objects(wish, token.text))
        return token

    async def watch() -> None:
        while True:
            looks.append((await mirrored(api, namespace)).get("wuhan", []))
            await asyncio.sleep(0.02)

    await joining.apply_all(members["wuhan"], joining.account_objects("reader"))
    token = await rotate()
    await apply(api, policy(namespace, {"wuhan": 1}))
    async with at_work(api, namespace):
        both = ["10.1.0.1:8080", "10.1.0.2:8080"]

        async def complete() -> bool:
            return (await mirrored(api, namespace)).get("wuhan") == both

        await until(complete, "the mirror")
        watcher = asyncio.create_task(watch())
        for _ in range(times):
            new = await rotate()
            assert await joining.taken_up(api, wish, new.digest, 120) == ""
            await joining.revoke(members["wuhan"], wish, token.secret)
            token = new
        await add_member(api, namespace, "wuhan", with_token(wuhan, "not.a.token"))
        await until(lambda: has(api, "wuhan", "CredentialCurrent", "False", "Unauthorized"), "told")
        assert (await condition(api, "wuhan", "Connected"))["status"] == "True"
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    assert looks
    assert [look for look in looks if look != both] == []
    assert await joining.older_tokens(members["wuhan"], wish, token.secret) == []


async def run_join(*words: str) -> tuple[int, str]:
    """Run `gateway-operator join` as a user would; returns exit code and what it printed."""
    command = [sys.executable, "-m", "gateway_operator", "join", *words]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


async def test_the_command_joins_and_rotates(api, api_cluster, clusters, members, namespace):
    """A dry run makes nothing; joining proves the rights are the least; a second run takes the old token back."""
    words = ["zhuhai", "--kubeconfig", str(clusters["zhuhai"].kubeconfig), "--region", "south", "-n", namespace]
    words += ["--centre-kubeconfig", str(api_cluster.kubeconfig)]
    code, said = await run_join(*words, "--dry-run")
    assert (code, "ClusterRole gateway-operator-reader" in said) == (0, True)
    assert (await api.list(MEMBERS)).items == []
    async with at_work(api, namespace):
        code, said = await run_join(*words)
        assert (code, "the operator is connected to it" in said) == (0, True), said
        first = await joined_tokens(members["zhuhai"])
        code, said = await run_join(*words)
        assert (code, "1 old token(s) taken back" in said) == (0, True), said
        second = await joined_tokens(members["zhuhai"])
        assert (len(first), len(second), first & second) == (1, 1, set())
    secret = await api.get(SECRETS, "member-zhuhai", namespace)
    credentials = kubeconfig.parse(base64.b64decode(secret["data"]["kubeconfig"]))
    assert credentials.token not in said
    reader = Api(Connection.of(credentials))
    try:
        assert (await reader.list(SERVICES)).items
        for res in (SECRETS, CONFIG_MAPS):
            with pytest.raises(Forbidden):
                await reader.list(res)
        with pytest.raises(Forbidden):
            await reader.delete(SERVICES, "kubernetes", "default")
    finally:
        await reader.close()


async def joined_tokens(member: Api) -> set[str]:
    """Return the tokens' Secrets of the member."""
    wish = joining.Wish("zhuhai", "", "gateway-operator-member", "")
    return set(await joining.older_tokens(member, wish))


async def test_a_member_without_rights_is_told(api, clusters, members, namespace):
    """A token that may read nothing is refused as soon as a policy needs it."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "poor", "namespace": "default"}}
    await apply(members["wuhan"], account)
    token = await members["wuhan"].raw(
        "POST",
        "/api/v1/namespaces/default/serviceaccounts/poor/token",
        body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )
    await add_member(api, namespace, "wuhan", with_token(clusters["wuhan"], token["status"]["token"]))
    await apply(api, policy(namespace, {"wuhan": 1}))
    async with at_work(api, namespace):
        await until(lambda: has(api, "wuhan", "Connected", "False", "Forbidden"), "told")
