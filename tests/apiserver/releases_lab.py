"""A world for tests of the release engine: kinds, a watches.yaml, a helm that is counted, and an engine that runs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import stat
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from gateway_operator.errors import KindNotServed, NotFound, Unavailable
from gateway_operator.kube import Api, EventRecorder
from gateway_operator.releases.engine import Engine
from gateway_operator.releases.names import GROUP
from gateway_operator.settings import GatewaySettings, OperatorSettings

CHARTS = Path(__file__).parent / "charts"
PATIENCE = 120.0  # of a machine that is slow and busy
T = TypeVar("T")
# For two seconds the API server holds up who creates objects of a new kind, so each test makes the next one's kind.
_AHEAD: dict[Path, str] = {}  # by kubeconfig: a group that has a kind Web already

# Counts each call; says the version by itself, as every operator asks for it; waits while the file `hold` is there;
# fails with the text of `fail-<verb>`, or hangs and is deaf while there is a `hang-<verb>`; else becomes the real helm.
SHIM = """#!/bin/bash
echo "$$ $1 $2" >> {folder}/calls
if [ "$1" = version ]; then printf {version}; exit; fi
while [ -e {folder}/hold ]; do sleep 0.05; done
if [ -e {folder}/hang-$1 ]; then trap "" TERM; while :; do sleep 0.2; done; fi
if [ -e {folder}/fail-$1 ]; then cat {folder}/fail-$1 >&2; exit 1; fi
exec -a helm {helm} "$@"
"""


@functools.cache
def version_of(helm: Path) -> str:
    """Return the version of a helm as it says it: v4.1.2."""
    command = [helm, "version", "--template", "{{ .Version }}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def new_group() -> str:
    """Return an API group that nobody uses."""
    return f"t{uuid.uuid4().hex[:8]}.example.com"


async def eventually(ask: Callable[[], Awaitable[T]], *, within: float = PATIENCE) -> T:
    """Ask until the answer is true; failed assertions, what is not there yet and a busy API server count as no."""
    deadline = time.monotonic() + within
    while True:
        try:
            answer = await ask()
            if answer or time.monotonic() > deadline:
                assert answer, "never became true"
                return answer
        except (AssertionError, IndexError, NotFound, Unavailable):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)


async def settled(ask: Callable[[], Awaitable[T]], *, seconds: float = 2.0) -> T:
    """Wait until the answer stays the same for a while, however long that takes, and return it."""

    async def rests() -> tuple[T]:  # which is true whatever the answer
        before = await ask()
        await asyncio.sleep(seconds)
        assert await ask() == before
        return (before,)

    return (await eventually(rests))[0]


class World:
    """One test's kinds, namespace and helm."""

    def __init__(self, api: Api, kubeconfig: Path, folder: Path, helm: Path) -> None:
        self.api = api
        self.kubeconfig = kubeconfig
        self.folder = folder
        self.group = new_group()
        self.namespace = f"ns-{uuid.uuid4().hex[:8]}"
        self.real_helm = helm
        self.shim = folder / "helm-shim"
        self.shim.write_text(SHIM.format(folder=folder, helm=helm, version=version_of(helm)))
        self.shim.chmod(self.shim.stat().st_mode | stat.S_IEXEC)
        (folder / "calls").touch()

    @property
    def api_version(self) -> str:
        """The group and version of the test's kinds."""
        return f"{self.group}/v1"

    async def prepare(self, *kinds: str) -> None:
        """Make the namespace and the CRDs of `kinds`."""
        await self.create("v1", "Namespace", self.namespace, namespace=None)
        if kinds == ("Web",):
            following, kinds = self.group, () if self.kubeconfig in _AHEAD else kinds
            self.group = _AHEAD.get(self.kubeconfig) or new_group()
            await self.define("Web", group=following)
            _AHEAD[self.kubeconfig] = following
        for kind in kinds:
            await self.define(kind)

    async def define(self, kind: str, *, group: str = "") -> None:
        """Make a CRD whose spec may hold anything, and wait until it is served."""
        group = group or self.group
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        plural = f"{kind.lower()}s"
        await self.create(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            f"{plural}.{group}",
            namespace=None,
            spec={
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {
                            "openAPIV3Schema": {"type": "object", "properties": {"spec": schema, "status": schema}}
                        },
                        "subresources": {"status": {}},
                    }
                ],
            },
        )

        async def served() -> bool:
            crd = await self.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.{group}", None)
            conditions = crd.get("status", {}).get("conditions") or []
            return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

        async def discovered() -> bool:  # which may come a moment later
            with contextlib.suppress(KindNotServed):
                return bool(await self.api.resource(f"{group}/v1", kind))
            return False

        await eventually(served)
        await eventually(discovered)

    async def create(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = "", **fields: Any
    ) -> dict[str, Any]:
        """Create any object; `metadata` is merged."""
        resource = await self.api.resource(api_version, kind)
        where = self.namespace if namespace == "" else namespace
        meta = {"name": name, **({"namespace": where} if where else {}), **fields.pop("metadata", {})}
        obj = {"apiVersion": api_version, "kind": kind, "metadata": meta, **fields}
        return await self.api.create(resource, obj, where)

    async def get(self, api_version: str, kind: str, name: str, namespace: str | None = "") -> dict[str, Any]:
        """Read any object."""
        resource = await self.api.resource(api_version, kind)
        return await self.api.get(resource, name, self.namespace if namespace == "" else namespace)

    async def patch(
        self, api_version: str, kind: str, name: str, patch: dict[str, Any], namespace: str | None = "", **more: Any
    ) -> dict[str, Any]:
        """Merge-patch any object as `somebody`."""
        resource = await self.api.resource(api_version, kind)
        where = self.namespace if namespace == "" else namespace
        return await self.api.merge_patch(resource, name, patch, where, field_manager="somebody", **more)

    async def delete(self, api_version: str, kind: str, name: str, namespace: str | None = "") -> None:
        """Delete any object."""
        resource = await self.api.resource(api_version, kind)
        await self.api.delete(resource, name, self.namespace if namespace == "" else namespace)

    async def gone(self, api_version: str, kind: str, name: str, namespace: str | None = "") -> bool:
        """Tell whether an object is absent."""
        with contextlib.suppress(NotFound):
            await self.get(api_version, kind, name, namespace)
            return False
        return True

    async def custom(self, kind: str, name: str, spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
        """Create a custom resource."""
        return await self.create(self.api_version, kind, name, spec=spec or {}, metadata=meta)

    async def look(self, kind: str, name: str) -> dict[str, Any]:
        """Read a custom resource."""
        return await self.get(self.api_version, kind, name)

    async def change(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        """Merge into the spec of a custom resource."""
        await self.patch(self.api_version, kind, name, {"spec": spec})

    async def ready(self, kind: str, name: str, *, within: float = PATIENCE) -> dict[str, Any]:
        """Wait until `kubectl wait --for=condition=Ready` would return."""

        async def asked() -> dict[str, Any]:
            obj = await self.look(kind, name)
            condition = conditions(obj).get("Ready", {})
            assert condition.get("status") == "True", condition
            assert condition["observedGeneration"] == obj["metadata"]["generation"]
            return obj

        return await eventually(asked, within=within)

    async def condition(
        self, kind: str, name: str, type_: str, status: str, reason: str, *, says: str = ""
    ) -> dict[str, Any]:
        """Wait for a condition at the current generation whose message contains `says`, and return it."""

        async def asked() -> dict[str, Any]:
            obj = await self.look(kind, name)
            found = conditions(obj).get(type_, {})
            assert (found.get("status"), found.get("reason")) == (status, reason), obj.get("status")
            assert found["observedGeneration"] == obj["metadata"]["generation"]
            assert says in found["message"], found
            return found

        return await eventually(asked)

    async def records(self, name: str) -> list[dict[str, Any]]:
        """Return the release Secrets of a release, in the order of their revisions."""
        secrets = await self.api.resource("v1", "Secret")
        listing = await self.api.list(secrets, self.namespace, label_selector=f"owner=helm,name={name}")
        return sorted(listing.items, key=lambda s: int(s["metadata"]["labels"]["version"]))

    async def events(self, reason: str) -> list[str]:
        """Return the messages of Events in the test's namespace."""
        resource = await self.api.resource("v1", "Event")
        listing = await self.api.list(resource, self.namespace)
        return [e["message"] for e in listing.items if e["reason"] == reason]

    @property
    def calls(self) -> list[tuple[int, str, str]]:
        """The helm runs so far: pid, verb, release (without those that ask for the version)."""
        lines = [line.split(" ", 2) for line in (self.folder / "calls").read_text().splitlines()]
        return [(int(pid), verb, name) for pid, verb, name in lines if verb != "version"]

    @contextlib.contextmanager
    def held(self):
        """Make every helm wait before it begins."""
        (self.folder / "hold").touch()
        try:
            yield
        finally:
            (self.folder / "hold").unlink()

    @contextlib.contextmanager
    def failing(self, verb: str, text: str):
        """Make every helm of a verb fail before it does anything, with `text`."""
        file = self.folder / f"fail-{verb}"
        file.write_text(text)
        try:
            yield
        finally:
            file.unlink()

    @contextlib.contextmanager
    def hanging(self, verb: str):
        """Make every helm of a verb hang without listening to SIGTERM."""
        file = self.folder / f"hang-{verb}"
        file.touch()
        try:
            yield
        finally:
            file.unlink()

    async def helm(self, *arguments: str) -> str:
        """Run somebody's own helm in the test's namespace, beside the counted one; returns what it prints."""
        process = await asyncio.create_subprocess_exec(
            str(self.real_helm),
            *arguments,
            "--namespace",
            self.namespace,
            "--kubeconfig",
            str(self.kubeconfig),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def annotate(self, kind: str, name: str, **annotations: str | None) -> None:
        """Set annotations of ours on a custom resource, `_` for `-`; None removes one."""
        found = {f"{GROUP}/{key.replace('_', '-')}": value for key, value in annotations.items()}
        await self.patch(self.api_version, kind, name, {"metadata": {"annotations": found}})

    @property
    def verbs(self) -> list[str]:
        """The verbs of the helm runs so far."""
        return [verb for _, verb, _ in self.calls]

    def row(self, kind: str, chart: str = "web", **more: Any) -> dict[str, Any]:
        """Return a row of watches.yaml."""
        return {"group": self.group, "version": "v1", "kind": kind, "chart": str(CHARTS / chart), **more}

    def settings(self, *rows: dict[str, Any], **more: Any) -> OperatorSettings:
        """Write watches.yaml and return settings that name it."""
        file = self.folder / "watches.yaml"
        file.write_text(yaml.safe_dump(list(rows)))
        return OperatorSettings(
            gateway=GatewaySettings(watches_path=file, namespace=None, repository=None, tag=None),
            kubeconfig=self.kubeconfig,
            identity=f"test-{os.getpid()}",
            helm=str(self.shim),
            **{"reconcile_period": 0.0, "helm_timeout": 60.0, **more},
        )

    @contextlib.asynccontextmanager
    async def engine(self, settings: OperatorSettings, **more: Any) -> AsyncIterator[Engine]:
        """Run an engine."""
        recorder = EventRecorder(self.api, component="gateway-operator")
        engine = Engine(more.pop("api", self.api), settings, recorder=recorder, **more)
        tasks = [asyncio.create_task(engine.run()), asyncio.create_task(recorder.run())]
        try:
            yield engine
            assert not tasks[0].done(), tasks[0].exception()
        except Exception as error:
            if tasks[0].done():
                error.add_note(f"the engine had ended: {tasks[0].exception()!r}")
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def conditions(obj: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the conditions of an object by type."""
    return {c["type"]: c for c in (obj.get("status") or {}).get("conditions") or []}
