"""Ways to tamper with each kind of object in the chart `drift`, for the tests of repairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway_operator.errors import NotFound
from gateway_operator.releases.diff import changes

WAYS = ("changed", "removed", "added")
# what the server gives a new object
_ALLOCATED = ("/spec/clusterIP", "/metadata/annotations/deployment.kubernetes.io")

Ops = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Target:
    """An object of release `a`, and JSON patches that change it."""

    api_version: str
    kind: str
    place: str = "namespaced"  # or cluster, elsewhere
    suffix: str = ""
    changed: tuple[tuple[str, Any], ...] = ()
    removed: tuple[str, ...] = ()
    added: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}{self.suffix} {self.place}"

    def ops(self, way: str) -> Ops:
        """Return one JSON patch."""
        if way == "removed":
            return [{"op": "remove", "path": path} for path in self.removed]
        op = "add" if way == "added" else "replace"
        return [{"op": op, "path": path, "value": value} for path, value in getattr(self, way)]

    def where(self, world: Any) -> tuple[str, str | None]:
        """Return name and namespace."""
        if self.place == "cluster":
            return f"{world.namespace}-a", None
        return f"a{self.suffix}", world.elsewhere if self.place == "elsewhere" else world.namespace

    def version(self, world: Any) -> str:
        """Return the apiVersion; that of custom resources is the world's."""
        return self.api_version or world.api_version


_DATA: dict[str, Any] = {
    "changed": (("/data/text", "mine"),),
    "removed": ("/data/other",),
    "added": (
        ("/data/extra", "x"),
        ("/metadata/labels/mine", "yes"),
    ),
}
_POD = "/spec/template/spec"
_MAIN = f"{_POD}/containers/0"
RBAC = "rbac.authorization.k8s.io/v1"
TARGETS = (
    Target("v1", "ConfigMap", **_DATA),
    Target("v1", "ConfigMap", suffix="-kept", **_DATA),
    Target("v1", "ConfigMap", suffix="-listed", **_DATA),
    Target("v1", "ConfigMap", "elsewhere", **_DATA),
    Target(
        "v1",
        "Secret",
        changed=(("/data/password", "bWluZQ=="),),
        removed=("/data/user",),
        added=(("/data/extra", "c2VjcmV0LXZhbHVl"),),
    ),
    Target(
        "v1",
        "ServiceAccount",
        changed=(("/automountServiceAccountToken", True),),
        removed=("/metadata/annotations/example.com~1role",),
        added=(("/metadata/labels/mine", "yes"), ("/imagePullSecrets", [{"name": "mine"}])),
    ),
    Target(
        "v1",
        "Service",
        changed=(("/spec/ports/0/port", 8080), ("/spec/ports/1/targetPort", 1)),
        removed=("/spec/ports/1", "/spec/selector/tier"),
        added=(
            ("/spec/ports/-", {"name": "more", "port": 81}),
            ("/spec/selector/mine", "yes"),
            ("/spec/externalIPs", ["192.0.2.1"]),
        ),
    ),
    Target(
        "apps/v1",
        "Deployment",
        changed=(
            ("/spec/replicas", 5),
            (f"{_MAIN}/image", "example.com/mine:1"),
            (f"{_MAIN}/args/1", "--level=9"),
            (f"{_MAIN}/env/0/value", "slow"),
            (f"{_MAIN}/resources/requests/cpu", "2"),
            (f"{_POD}/volumes/0", {"name": "config", "emptyDir": {}}),
            ("/spec/revisionHistoryLimit", 3),
        ),
        removed=(f"{_MAIN}/env/0", f"{_MAIN}/args", f"{_MAIN}/ports/0", f"{_POD}/nodeSelector/disk"),
        added=(
            (f"{_MAIN}/args/-", "--mine"),
            (f"{_MAIN}/env/-", {"name": "MINE", "value": "1"}),
            (f"{_MAIN}/ports/-", {"containerPort": 81, "name": "mine"}),
            (f"{_MAIN}/livenessProbe", {"tcpSocket": {"port": 80}}),
            (f"{_POD}/containers/-", {"name": "mine", "image": "example.com/mine:1"}),
            (f"{_POD}/nodeSelector/mine", "yes"),
            (f"{_POD}/tolerations", [{"key": "mine", "operator": "Exists"}]),
            ("/spec/template/metadata/annotations", {"example.com/mine": "yes"}),
            ("/spec/minReadySeconds", 7),
        ),
    ),
    Target(
        "networking.k8s.io/v1",
        "Ingress",
        changed=(("/spec/rules/0/host", "mine.example.com"),),
        removed=("/spec/rules/0/host",),
        added=(
            ("/spec/rules/-", {"host": "b.example.com"}),
            ("/spec/tls", [{"hosts": ["a.example.com"], "secretName": "x"}]),
            ("/spec/ingressClassName", "mine"),
        ),
    ),
    Target(
        "policy/v1",
        "PodDisruptionBudget",
        changed=(("/spec/minAvailable", 2),),
        removed=("/spec/minAvailable",),
        added=(("/spec/unhealthyPodEvictionPolicy", "AlwaysAllow"), ("/spec/selector/matchLabels/mine", "yes")),
    ),
    Target(
        RBAC,
        "Role",
        changed=(("/rules/0/verbs/0", "delete"),),
        removed=("/rules/0/verbs/1",),
        added=(("/rules/-", {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}),),
    ),
    Target(
        RBAC,
        "ClusterRole",
        "cluster",
        changed=(("/rules/0/verbs/0", "delete"),),
        removed=("/rules/1",),
        added=(("/rules/0/verbs/-", "delete"), ("/metadata/labels/mine", "yes")),
    ),
    Target(
        "networking.k8s.io/v1",
        "IngressClass",
        "cluster",
        changed=(("/spec/parameters/name", "mine"),),
        removed=("/metadata/annotations/example.com~1team",),
        added=(("/metadata/labels/mine", "yes"),),
    ),
    Target(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "cluster",
        changed=(("/webhooks/0/timeoutSeconds", 20),),
        removed=("/webhooks/0/clientConfig/service/path",),
        added=(("/webhooks/0/objectSelector", {"matchLabels": {"mine": "yes"}}),),
    ),
    Target(
        "",
        "Child",
        changed=(("/spec/size", 4), ("/spec/list/0", "z")),
        removed=("/spec/mode/colour",),
        added=(("/spec/mode/mine", 1), ("/spec/list/-", "c"), ("/spec/more", {"a": {"b": 1}})),
    ),
)


class Scene:
    """Release `a` of the chart `drift`, and what its objects were before anybody touched them."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._before: dict[Target, dict[str, Any]] = {}

    async def read(self, target: Target) -> dict[str, Any]:
        """Read an object."""
        name, namespace = target.where(self._world)
        return await self._world.get(target.version(self._world), target.kind, name, namespace)

    async def remember(self, targets: tuple[Target, ...] = TARGETS) -> None:
        """Note how the objects are."""
        for target in targets:
            self._before[target] = await self.read(target)

    async def patch(self, target: Target, ops: Ops, manager: str = "kubectl-edit") -> None:
        """Run a JSON patch, an addition to a missing map with the map."""
        name, namespace = target.where(self._world)
        resource = await self._world.api.resource(target.version(self._world), target.kind)
        live = await self.read(target)
        await self._world.api.json_patch(resource, name, _with_maps(live, ops), namespace, field_manager=manager)

    async def delete(self, target: Target) -> None:
        """Delete an object."""
        name, namespace = target.where(self._world)
        await self._world.delete(target.version(self._world), target.kind, name, namespace)

    async def differences(self) -> list[str]:
        """Say where objects are not as they were."""
        return [text for target in self._before for text in await self.differences_of(target)]

    async def differences_of(self, target: Target) -> list[str]:
        """Say where one object is not as it was."""
        try:
            live = await self.read(target)
        except NotFound:
            return [f"{target} is missing"]
        found = [c for c in changes(self._before[target], live) if not c.pointer.startswith(_ALLOCATED)]
        return [f"{target} {c.pointer}: {c.old!r} -> {c.new!r}" for c in found]

    async def is_restored(self) -> bool:
        """True when everything is as it was."""
        found = await self.differences()
        assert not found, found
        return True


def _with_maps(live: dict[str, Any], ops: Ops) -> Ops:
    made = []
    for op in ops:
        parts = op["path"].split("/")
        if op["op"] == "add" and parts[1] == "metadata" and len(parts) == 4 and parts[2] not in live["metadata"]:
            made.append({"op": "add", "path": "/".join(parts[:3]), "value": {}})
    unique = [op for n, op in enumerate(made) if op not in made[:n]]
    return [*unique, *ops]
