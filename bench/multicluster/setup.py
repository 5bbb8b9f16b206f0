"""What every part is given: where it runs, how long it may take, and the operator and gateway that it measures."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.dataplane.gateways import DYNAMIC, Ours, running
from bench.dataplane.network import Ports
from bench.dataplane.sites import NAMESPACE
from bench.engine import operators
from bench.engine.world import eventually
from bench.multicluster.clusters import Fleet, Plan, fleet, host_of
from bench.parts import tell
from gateway_operator.kube import Resource
from gateway_operator.traffic.config import CONFIG_KEY, parse

NGINXES = Resource("gateway.kubesphere.io", "v1alpha1", "Nginx", "nginxes", namespaced=True)
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)
RELEASE = "edge"
_SUFFIX = "-multicluster"
_CONFIG_SECONDS = 120.0


@dataclass(frozen=True)
class Setup:
    """One run of the benchmark."""

    folder: Path
    quick: bool = False
    seed: int = 1
    ports: Ports = field(default_factory=Ports)
    pods: itertools.count[int] = field(default_factory=itertools.count)  # new ones: no address comes twice
    _serial: itertools.count[int] = field(default_factory=itertools.count)

    def pick(self, whole: int, quick: int) -> int:
        """Choose a size: a quick run only shows that everything works."""
        return quick if self.quick else whole

    @contextlib.asynccontextmanager
    async def fleet(self, plan: Plan) -> AsyncIterator[Fleet]:
        """Give API servers with services and members, and no policies yet."""
        async with fleet(self.folder / f"fleet-{next(self._serial)}", plan) as found:
            await found.plant()
            yield found

    @contextlib.asynccontextmanager
    async def operator(self, found: Fleet) -> AsyncIterator[operators.Operator]:
        """Run the operator."""
        async with operators.running(operators.ours(), found) as operator:
            yield operator

    @contextlib.asynccontextmanager
    async def served(self, plan: Plan) -> AsyncIterator[tuple[Fleet, Ours]]:
        """Run all of it: operator, policies, and a gateway that serves them."""
        async with self.fleet(plan) as found, self.operator(found), self.gateway(found, plan.services) as gateway:
            yield found, gateway

    @contextlib.asynccontextmanager
    async def gateway(self, found: Fleet, services: int) -> AsyncIterator[Ours]:
        """Spread the first services and run a gateway that serves them. An operator must run, for the time being."""
        await found.api.create(NGINXES, nginx(), NAMESPACE)
        await found.spread(services)
        config = await self._config(found, services * len(found.plan.namespaces))
        tell(f"the gateway is told {config}")
        name = f"--multi-cluster-configmap={NAMESPACE}/{config}"
        gateway = Ours(self.folder / f"g-{next(self._serial)}", self.ports, found.world, DYNAMIC, flags=[name])
        hosts = [host_of(ns, number) for ns in found.plan.namespaces for number in (0, services - 1)]
        async with running(gateway, hosts):
            yield gateway

    async def _config(self, found: Fleet, wanted: int) -> str:
        """Wait until the gateway's release has the config of so many paths; returns its ConfigMap's name."""
        names: list[str] = []

        async def complete() -> bool:
            names.clear()
            for item in (await found.api.list(CONFIG_MAPS, NAMESPACE)).items:
                name, text = item["metadata"]["name"], (item.get("data") or {}).get(CONFIG_KEY)
                if name.endswith(_SUFFIX) and text:
                    names.append(name)
                    return sum(len(policy.paths) for policy in parse(text).policies) >= wanted
            return False

        await eventually(complete, within=_CONFIG_SECONDS, every=0.25)
        return names[0]


def nginx() -> dict[str, object]:
    """Return the object by which the operator knows the gateway; its pods never run, our process is one of them."""
    apart = {"ingressClassResource": {"enabled": False}}  # the class is there already
    controller = {"service": {"type": "ClusterIP"}, "watchIngressWithoutClass": True, **apart}
    return {
        "apiVersion": f"{NGINXES.group}/{NGINXES.version}",
        "kind": "Nginx",
        "metadata": {"name": RELEASE},
        "spec": {"controller": controller},
    }
