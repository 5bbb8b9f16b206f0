"""What gateways' pods acknowledge and leave out, as statuses tell it."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path

from clusters_lab import apply, has, policy, until
from clusters_lab import at_work as cluster_half
from gateway_operator.clusters.service import NGINXES
from gateway_operator.crds.conditions import condition_of
from gateway_operator.ingress.applied import Applied
from gateway_operator.kube import Api
from lab.apiserver import ApiCluster
from splits_lab import at_work, gateway_pod, wanted_by


async def test_programmed_is_what_pods_acknowledge(api: Api, home: str) -> None:
    """No gateway, no ready pod, no word yet, served, lost to an Ingress: each is said, and of who is meant only."""
    homeless = policy(home, {"wuhan": 1}, name="homeless")
    homeless["spec"]["ingressClassName"] = "nobody"
    await apply(api, policy(home, {"wuhan": 1}), policy(home, {"wuhan": 1}, name="other"), homeless)

    def says(name: str, value: str, reason: str, type_: str = "Programmed") -> Awaitable[bool]:
        return has(api, name, type_, value, reason, namespace=home)

    async with cluster_half(api, home) as work:
        await until(lambda: says("homeless", "False", "NoGateway"), "nobody serves it")
        await until(lambda: says("cafe", "False", "GatewayNotReady"), "no pod")
        async with gateway_pod(api, home) as state:
            await until(lambda: says("cafe", "False", "Pending"), "no word")
            assert work.assignments
            state.set(Applied(splits=work.assignments[home, "edge"].digest))
            await until(lambda: says("cafe", "True", "Programmed"), "its word")
            await apply(api, policy(home, {"wuhan": 2}, name="other"))
            await until(lambda: says("other", "False", "Pending"), "a change")
            assert await says("cafe", "True", "Programmed")
            lost = (f"{home}/other", "spec.rules[0].http.paths[0]", "Conflicted", "Ingress a/b has it, it is older")
            state.set(Applied(splits=work.assignments[home, "edge"].digest, split_problems=(lost,)))
            await until(lambda: says("other", "False", "Conflicted", "Accepted"), "the loser")
            await until(lambda: says("other", "True", "Programmed"), "its word again")
            won = (f"{home}/other", "spec.rules[0].http.paths[0]", "Ingress a/young")
            state.set(Applied(splits=work.assignments[home, "edge"].digest, contests=(won,)))

            await until(lambda: wanted_by(api, home, "other", ["Ingress a/young"]), "the winner's word")
        await until(lambda: says("cafe", "False", "GatewayNotReady"), "the pod is gone")


async def test_whom_nginx_refuses_is_a_condition(api: Api, centre: ApiCluster, home: str, helm_binary: Path) -> None:
    """What a gateway's pods leave out is said on it, also where it serves no policy, and taken back."""

    async def says(status: str, reason: str, text: str) -> bool:
        found = condition_of(await api.get(NGINXES, "edge", home), "IngressesServed")
        return (found.get("status"), found.get("reason")) == (status, reason) and text in found["message"]

    with at_work(centre, home, helm_binary):
        async with gateway_pod(api, home) as state:
            bad = tuple((f"shop/bad-{number}", "invalid value in proxy-body-size") for number in range(3))
            state.set(Applied("gen-1", quarantined=5, left_out=bad))
            text = "5 of the Ingresses are left out until they change: shop/bad-0: invalid value in proxy-body-size"
            await until(lambda: says("False", "IngressesLeftOut", text), "the condition")
            assert await says("False", "IngressesLeftOut", "and 2 more")
            state.set(Applied("gen-2"))
            await until(lambda: says("True", "AllServed", ""), "the end of it")
