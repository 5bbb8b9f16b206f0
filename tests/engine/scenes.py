"""Where a test plays: the kinds and the operator that a module shares, and the namespace of one test."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_operator.errors import ApiError
from gateway_operator.kube import Api
from gateway_operator.releases.records import decode_payload, encode_payload
from lab.apiserver import ApiCluster
from lab.control import documents
from tests.apiserver.releases_lab import World, conditions, eventually
from tests.engine.operators import HelmShim, Operator, free_address, write_rows
from tests.engine.profiles import Launch, Profile

CHARTS = Path(__file__).parent / "charts"
PATIENCE = 120.0  # of a machine that is slow and busy
SOON = 60.0  # for what only a watch can bring: the period is ten minutes
Rows = dict[str, dict[str, Any]]


class Stage:
    """Kinds of a group of its own, and operators that serve them: forks of one process, if asked for and ours."""

    def __init__(self, cluster: ApiCluster, profile: Profile, folder: Path, helm: Path, *, fork: bool = False) -> None:
        self.cluster = cluster
        self.profile = profile
        self.folder = folder
        self.helm = helm
        self.fork = fork and not profile.peer
        self.group = f"t{uuid.uuid4().hex[:8]}.example.com"
        self.shim = HelmShim(folder / "bin", helm)
        self.operators: list[Operator] = []

    @property
    def api_version(self) -> str:
        """Group and version of the kinds."""
        return f"{self.group}/v1"

    @property
    def operator(self) -> Operator:
        """The operator, where there is one."""
        return self.operators[0]

    def define(self, *kinds: str) -> None:
        """Make CRDs whose spec may hold anything, and wait until they are served."""
        crds = [crd(kind, self.group) for kind in kinds]
        self.cluster.kubectl("apply", "-f", "-", input=documents(crds))
        names = [f"crd/{item['metadata']['name']}" for item in crds]
        self.cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)

    def row(self, kind: str, chart: str | Path = "app", **fields: Any) -> dict[str, Any]:
        """Return a row of watches.yaml."""
        path = chart if isinstance(chart, Path) else CHARTS / chart
        return {"group": self.group, "version": "v1", "kind": kind, "chart": str(path), **fields}

    def operate(self, *rows: dict[str, Any], kubeconfig: Path | None = None, **launch: Any) -> Operator:
        """Describe an operator over these rows; it is stopped with the stage."""
        folder = self.folder / f"operator-{len(self.operators)}"
        folder.mkdir()
        file = write_rows(folder / "watches.yaml", list(rows))
        plan = Launch(file, free_address(), free_address(), **launch)
        where = kubeconfig or self.cluster.kubeconfig
        operator = Operator(self.profile, plan, where, folder, self.shim, fork=self.fork)
        self.operators.append(operator)
        return operator

    @contextlib.contextmanager
    def running(self, *rows: dict[str, Any], **launch: Any) -> Iterator[Operator]:
        """Run an operator for as long as the block."""
        operator = self.operate(*rows, **launch)
        operator.start()
        try:
            yield operator
        finally:
            operator.stop(patience=3)

    def close(self) -> None:
        """End all operators."""
        for operator in self.operators:
            operator.stop(patience=3)


def crd(kind: str, group: str) -> dict[str, Any]:
    """Return a CRD with a status and without rules."""
    anything = {"x-kubernetes-preserve-unknown-fields": True}
    status = {"type": "object", **anything}
    schema = {"type": "object", "properties": {"spec": anything, "status": status}}
    plural = f"{kind.lower()}s"
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
        },
    }


class Scene(World):
    """One test's namespace in a stage."""

    def __init__(self, api: Api, stage: Stage) -> None:
        self.api = api
        self.stage = stage
        self.profile = stage.profile
        self.kubeconfig = stage.cluster.kubeconfig
        self.folder = stage.folder
        self.group = stage.group
        self.namespace = f"ns-{uuid.uuid4().hex[:8]}"

    @property
    def operator(self) -> Operator:
        """The operator that serves the stage."""
        return self.stage.operator

    @contextlib.contextmanager
    def alone(self, *rows: dict[str, Any], **launch: Any) -> Iterator[Operator]:
        """Run an operator that sees the namespace of this test only, so that no other test disturbs its counters."""
        launch = {"selected": (self.namespace,), **launch}
        with self.stage.running(*(rows or (self.stage.row("Web"),)), **launch) as operator:
            yield operator

    async def deployed(self, kind: str, name: str, *, revision: int = 0, within: float = PATIENCE) -> dict[str, Any]:
        """Wait until a release is deployed, its resource says so and nothing fails; of `revision`, if named."""

        async def asked() -> dict[str, Any]:
            obj = await self.look(kind, name)
            assert is_true(obj, "Deployed"), obj.get("status")
            generation = obj["metadata"]["generation"]  # an operator that tells which one it speaks of is believed
            assert obj["status"].get("observedGeneration", generation) == generation
            assert not failing(obj), obj["status"]["conditions"]
            newest = (await self.records(obj["status"]["deployedRelease"]["name"]))[-1]["metadata"]["labels"]
            assert newest["status"] == "deployed", newest
            assert newest["version"] == str(revision or newest["version"]), newest
            return obj

        return await eventually(asked, within=within)

    async def fails(self, kind: str, name: str, *types: str, within: float = PATIENCE) -> dict[str, Any]:
        """Wait until one of these conditions (default: a failure of any kind) is True, and return it."""

        async def asked() -> dict[str, Any]:
            obj = await self.look(kind, name)
            found = [c for t, c in conditions(obj).items() if c["status"] == "True" and t in (types or FAILURES)]
            assert found, obj.get("status")
            return found[0]

        return await eventually(asked, within=within)

    async def install(self, kind: str, name: str, spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
        """Create a custom resource and wait until its release is deployed."""
        await self.custom(kind, name, spec, **meta)
        return await self.deployed(kind, name)

    async def annotate(self, kind: str, name: str, **annotations: str | None) -> None:
        """Set annotations of a custom resource; None removes one."""
        await self.patch(self.api_version, kind, name, {"metadata": {"annotations": annotations}})

    async def poke(self, kind: str, name: str) -> None:
        """Make an operator look at a custom resource that didn't change."""
        await self.annotate(kind, name, **{"suite.example.com/poke": uuid.uuid4().hex[:8]})

    async def remove(self, kind: str, name: str, *, within: float = PATIENCE) -> None:
        """Delete a custom resource and wait until it is gone."""
        await self.delete(self.api_version, kind, name)
        await eventually(lambda: self.gone(self.api_version, kind, name), within=within)

    async def text(self, name: str, namespace: str | None = "") -> str:
        """Return what the ConfigMap of a release says."""
        return str((await self.get("v1", "ConfigMap", name, namespace))["data"]["text"])

    async def says(self, name: str, text: str, *, within: float = PATIENCE) -> None:
        """Wait until the ConfigMap of a release says `text`."""

        async def asked() -> bool:
            assert await self.text(name) == text
            return True

        await eventually(asked, within=within)

    async def revisions(self, name: str) -> list[tuple[int, str]]:
        """Return revision and status of each record of a release."""
        labels = [r["metadata"]["labels"] for r in await self.records(name)]
        return [(int(label["version"]), label["status"]) for label in labels]

    async def steady(self, ask: Any, *, seconds: float = 3.0) -> Any:
        """Check that what `ask` returns stays the same for a while, and return it."""
        before = await ask()
        await asyncio.sleep(seconds)
        after = await ask()
        assert after == before
        return after

    async def plant(self, name: str, status: str) -> dict[str, Any]:
        """Rewrite the newest record of a release as an operator that died would have left it."""
        secret = (await self.records(name))[-1]
        release = decode_payload(secret)
        release["info"]["status"] = status
        secret["metadata"]["labels"]["status"] = status
        secret["data"]["release"] = encode_payload(release)
        return await self.api.replace(await self.api.resource("v1", "Secret"), secret, self.namespace)

    async def warnings(self, name: str) -> list[dict[str, Any]]:
        """Return the Warning Events about a custom resource."""
        listing = await self.api.list(await self.api.resource("v1", "Event"), self.namespace)
        return [e for e in listing.items if e["type"] == "Warning" and e["involvedObject"]["name"] == name]

    async def helm(self, *arguments: str) -> str:
        """Run the real helm beside the operator."""
        process = await asyncio.create_subprocess_exec(
            *map(str, (self.stage.helm, *arguments, "--kubeconfig", self.kubeconfig, "-n", self.namespace)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    @contextlib.asynccontextmanager
    async def denied(self, resource: str, *operations: str, name: str = "") -> AsyncIterator[None]:
        """Make the API server refuse operations on objects of this namespace for as long as the block."""
        own = f"deny-{uuid.uuid4().hex[:8]}"
        subject = "(request.operation == 'DELETE' ? oldObject : object).metadata.name"
        asked = ", ".join(f"'{o}'" for o in operations)
        rule = f"request.resource.resource == '{resource}' && request.operation in [{asked}]"
        rule += f" && {subject} == '{name}'" if name else ""
        match = f"request.namespace == '{self.namespace}' && ({rule} || {subject} == '{own}')"
        policies = await self.api.resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
        bindings = await self.api.resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding")
        meta = {"name": own}
        every = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE", "DELETE"]}
        spec = {
            "failurePolicy": "Ignore",
            "matchConstraints": {"resourceRules": [{**every, "resources": ["*"]}]},
            "matchConditions": [{"name": "subject", "expression": match}],
            "validations": [{"expression": "false", "message": "denied by the test", "reason": "Forbidden"}],
        }
        head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": meta}
        await self.api.create(policies, {**head, "kind": policies.kind, "spec": spec})
        binding = {"policyName": own, "validationActions": ["Deny"]}
        await self.api.create(bindings, {**head, "kind": bindings.kind, "spec": binding})
        await eventually(lambda: self._refused(own))
        try:
            yield
        finally:
            await self.api.delete(bindings, own)
            await self.api.delete(policies, own)
            await eventually(lambda: self._accepted(own))

    async def _refused(self, name: str) -> bool:
        maps = await self.api.resource("v1", "ConfigMap")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": self.namespace}}
        try:
            await self.api.raw("POST", maps.path(self.namespace), query={"dryRun": "All"}, body=body)
        except ApiError as error:
            return "denied by the test" in str(error)
        return False

    async def _accepted(self, name: str) -> bool:
        return not await self._refused(name)


FAILURES = ("ReleaseFailed", "Irreconcilable")


def is_true(obj: dict[str, Any], type_: str) -> bool:
    """Tell whether a condition is True; one that is absent is not."""
    return conditions(obj).get(type_, {}).get("status") == "True"


def failing(obj: dict[str, Any]) -> bool:
    """Tell whether a condition says that something failed."""
    return any(is_true(obj, type_) for type_ in FAILURES)


def limited_kubeconfig(cluster: ApiCluster, folder: Path, rules: list[dict[str, Any]]) -> Path:
    """Return a kubeconfig of a service account that has these rights and no others."""
    name = f"limited-{uuid.uuid4().hex[:8]}"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    items = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}},
        {**head, "kind": "ClusterRole", "rules": rules},
        {**head, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]},
    ]
    cluster.kubectl("apply", "-f", "-", input=documents(items))
    token = cluster.kubectl("create", "token", name, "-n", "default", "--duration=1h").strip()
    authority = base64.b64encode(cluster.ca_file.read_bytes()).decode()
    path = folder / f"{name}.kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {"name": "c", "cluster": {"server": cluster.url, "certificate-authority-data": authority}}
                ],
                "users": [{"name": name, "user": {"token": token}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": name}}],
                "current-context": "c",
            }
        )
    )
    return path


def needs(feature: object, what: str) -> None:
    """End the test as not applicable where the operator under test lacks what it is about."""
    if not feature:
        pytest.skip(f"not applicable: {what}")
