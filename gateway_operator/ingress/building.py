"""From a snapshot to what nginx is to have: graph, plan, files and data, as one step without side effects.

It runs in a thread beside the event loop, one at a time, and keeps what the builder learned of unchanged objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway_operator.ingress.gateway_config import GatewayConfig, read_config
from gateway_operator.ingress.graph import Graph, GraphBuilder
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.own_certificate import own_certificate
from gateway_operator.ingress.plan import Machine, Plan
from gateway_operator.ingress.planner import Compiled, Planner
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.render import dynamic, static
from gateway_operator.ingress.render.common import Rendered
from gateway_operator.ingress.snapshot import Key, Object, Snapshot
from gateway_operator.ingress.supervised import NginxStatus

LEAST_MEMORY = 16 << 20
MOST_MEMORY = 1 << 30
SHARE_OF_LIMIT = 3  # the data may take one part in so many of the pod's memory
PER_ENTRY = 256  # bytes around an entry: its node, and what the allocator rounds up
SLACK = 2.5  # room for growth, and for an entry's old value beside the new one


@dataclass(frozen=True)
class Built:
    """One finished build, ready to be brought to nginx."""

    graph: Graph
    config: GatewayConfig
    compiled: Compiled
    rendered: Rendered
    problems: tuple[Problem, ...]
    splits: str = ""  # the digest of the split config


class Building:
    """Builds for one gateway."""

    def __init__(self, options: IngressOptions) -> None:
        self._options = options
        self._builder = GraphBuilder(
            default_backend=options.default_backend_service,
            default_certificate=options.default_ssl_certificate,
            passthrough=options.enable_ssl_passthrough,
        )
        self._cache = dynamic.Cache()
        self._planner = Planner(passthrough=options.enable_ssl_passthrough)
        self._fake = own_certificate(options.run_dir)
        self._config: tuple[tuple[Mapping[str, str], Ref, Mapping[Key, Object]], GatewayConfig] | None = None
        self._refused_config: tuple[Mapping[str, str], str] | None = None

    def another(self) -> Building:
        """Return one that has learned nothing of objects, for trials beside this one."""
        found = Building(self._options)
        found._refused_config = self._refused_config
        return found

    def build(self, snapshot: Snapshot, machine: Machine, ref: Ref, left_out: frozenset[str]) -> Built:
        """Build everything; `ref` is the gateway's ConfigMap, `left_out` are UIDs of Ingresses to do without."""
        config = self._read_config(snapshot, ref)
        graph = self._builder.build(snapshot, config=config, left_out=left_out)
        compiled = self._compiled(graph, config, machine)
        rendered = self._render(compiled.plan)
        size = memory_for(rendered.data, machine.memory)
        if size > machine.data_size:
            compiled = self._compiled(graph, config, replace(machine, data_size=size))
            rendered = self._render(compiled.plan)
        problems = [*graph.problems, *config.problems, *snapshot.split_problems, *_unsupported(compiled)]
        digest = snapshot.splits.digest if snapshot.splits else ""
        return Built(graph, config, compiled, rendered, tuple(problems), digest)

    def _render(self, plan: Plan) -> Rendered:
        return dynamic.render(plan, self._cache) if plan.machine.lua else static.render(plan)

    def _compiled(self, graph: Graph, config: GatewayConfig, machine: Machine) -> Compiled:
        compiled = self._planner.compile(graph, config, machine, self._fake)
        options = self._options
        plan = replace(compiled.plan, metrics=options.enable_metrics)
        return replace(compiled, plan=plan)

    def _read_config(self, snapshot: Snapshot, ref: Ref) -> GatewayConfig:
        if self._refused_config is None or self._refused_config[0] != snapshot.config:
            self._refused_config = None
            source = (snapshot.config, ref, snapshot.configmaps)
            if self._config is None or self._config[0] != source:
                self._config = (source, read_config(*source))
            return self._config[1]
        reason = self._refused_config[1]
        message = f"nginx refuses this configuration; the defaults are used until it changes: {reason}"
        return replace(read_config({}, ref), problems=(Problem(ref, "InvalidConfig", "data", message),))

    def suspect_config(self, snapshot: Snapshot, stderr: str) -> bool:
        """Do without the ConfigMap, which may be what nginx refuses; False when it is left out already or empty."""
        if not snapshot.config or self._refused_config is not None:
            return False
        self._refused_config = (dict(snapshot.config), stderr[-300:])
        return True

    def clear_config(self) -> None:
        """Take the ConfigMap again: an Ingress was to blame."""
        self._refused_config = None


def machine_of(options: IngressOptions, nginx: NginxStatus, data_size: int) -> Machine:
    """Describe the nginx that the supervisor runs; without `lua` the static renderer is meant."""
    return Machine(
        http_port=options.http_port,
        https_port=options.https_port,
        status_port=options.status_port,
        ipv6=nginx.ipv6,
        cpus=nginx.cpus,
        nginx_version=nginx.nginx_version,
        run_dir=str(options.run_dir),
        modules=nginx.modules,
        lua="" if options.renderer == "static" else nginx.lua,
        memory=nginx.memory,
        data_size=data_size,
    )


def memory_for(data: Mapping[str, bytes], limit: int) -> int:
    """Return how much memory nginx needs for data, in bytes, a power of two; `limit` is the pod's, 0 for none."""
    needed = SLACK * (sum(map(len, data.values())) + PER_ENTRY * len(data))
    most = most_memory(limit)
    size = LEAST_MEMORY
    while size < needed and size < most:
        size *= 2
    return size


def most_memory(limit: int) -> int:
    """Return the most that may ever be taken for data under a pod's limit in bytes, 0 for none; a power of two."""
    if not limit:
        return MOST_MEMORY
    power = 1 << ((limit // SHARE_OF_LIMIT).bit_length() - 1)
    return max(LEAST_MEMORY, min(MOST_MEMORY, power))


def _unsupported(compiled: Compiled) -> list[Problem]:
    found = []
    renderer = dynamic if compiled.plan.machine.lua else static
    for owner, text in renderer.unsupported(compiled.plan):
        names = compiled.index.get(owner) or {}
        if "ingress" in names:
            ref = Ref("Ingress", names["namespace"], names["ingress"], names["uid"])
            found.append(Problem(ref, "UnsupportedByRenderer", "", text))
    return found
