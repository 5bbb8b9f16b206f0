"""The webhook as API servers use it: from the chart's objects and rights, through its faults and its rotation."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import os
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway_operator.errors import ApiError
from gateway_operator.ingress.admission.certificates import Keys, Times, make
from gateway_operator.ingress.admission.index import PathIndex
from gateway_operator.ingress.admission.judge import Judge
from gateway_operator.ingress.admission.keeper import CONFIGURATIONS, Keeper, read_keys
from gateway_operator.ingress.admission.server import AdmissionServer
from gateway_operator.ingress.admission.serving import ServingContext, follow_secret
from gateway_operator.ingress.parse import parse_ingress
from gateway_operator.ingress.sources import INGRESSES, SECRETS
from gateway_operator.kube import Api
from helm_runner import Helm
from lab.apiserver import ApiCluster
from lab.control import documents, free_ports
from releases_lab import eventually
from tests import forked

PREFIX = "nginx.ingress.kubernetes.io/"


def ingress(name: str, host: str, *paths: str, ingress_class: str | None = None, **annotations: str) -> dict[str, Any]:
    """An Ingress; annotations are named with _ for -."""
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    found = [{"path": path, "pathType": "Prefix", "backend": backend} for path in paths or ("/",)]
    spec: dict[str, Any] = {"rules": [{"host": host, "http": {"paths": found}}]}
    if ingress_class:
        spec["ingressClassName"] = ingress_class
    notes = {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()}
    metadata = {"name": name, "annotations": notes}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


class Release:
    """A gateway's objects as the chart makes them, and its controller as a process with those rights, without nginx."""

    def __init__(self, cluster: ApiCluster, helm: Path, namespace: str, folder: Path) -> None:
        self.cluster, self.namespace, self.folder = cluster, namespace, folder
        self.name = f"gw-{uuid.uuid4().hex[:6]}"
        self.port, self.health, self.status = free_ports(3)
        self.process: forked.Fork | None = None
        self._log = folder / "controller.log"
        controller = {
            "ingressClass": self.name,
            "ingressClassResource": {"name": self.name, "controllerValue": f"example.test/{self.name}"},
            "admissionWebhooks": {"enabled": True, "port": self.port},
        }
        values = {"fullnameOverride": self.name, "controller": controller}
        self.objects = Helm(helm, folder).render("ingress-nginx", values, namespace=namespace).objects

    def install(self) -> None:
        """Create everything but the workload; the webhook is called on loopback and asked of this namespace only."""
        (deployment,) = [obj for obj in self.objects if obj["kind"] == "Deployment"]
        self._args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        objects = [obj for obj in self.objects if obj["kind"] not in {"Deployment", "Service"}]
        for obj in objects:
            for webhook in obj.get("webhooks", ()):
                path = webhook["clientConfig"].pop("service")["path"]
                webhook["clientConfig"]["url"] = f"https://127.0.0.1:{self.port}{path}"
                webhook["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}
                webhook["timeoutSeconds"] = 10  # a busy machine must not make the test fail
        self.cluster.kubectl("apply", "-f", "-", input=documents(objects))

    def start(self) -> None:
        """Start the controller with its ServiceAccount's token and the chart's flags."""
        token = self.cluster.kubectl("create", "token", self.name, "-n", self.namespace).strip()
        config = yaml.safe_load(self.cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        kubeconfig = self.folder / "controller.kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        env = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "GATEWAY_RUN_DIR": str(self.folder),
            "POD_NAME": "gateway-0",
            "POD_NAMESPACE": self.namespace,
        }
        args = [arg.replace("$(POD_NAMESPACE)", self.namespace) for arg in self._args]
        args += [f"--healthz-port={self.health}", f"--status-port={self.status}"]
        with self._log.open("ab") as log:
            self.process = forked.program(forked.CONTROLLER, args, env=env, log=log)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the controller."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None

    def uninstall(self) -> None:
        """Remove what has no namespace."""
        self.stop()
        for kind in ("validatingwebhookconfiguration", "clusterrole", "clusterrolebinding", "ingressclass"):
            name = f"{self.name}-admission" if kind.startswith("validating") else self.name
            self.cluster.kubectl("delete", kind, name, "--ignore-not-found")

    def create(self, obj: dict[str, Any], *flags: str) -> str:
        """Create an object; returns "" or what the API server says against it."""
        try:
            self.cluster.kubectl("create", "-n", self.namespace, "-f", "-", *flags, input=json.dumps(obj))
        except subprocess.CalledProcessError as error:
            return str(error.stderr)
        return ""

    async def works(self) -> None:
        """Wait until the webhook judges."""

        async def judges() -> bool:
            bad = ingress("probe", "probe.test", "/a;b", ingress_class=self.name)
            said = self.create(bad, "--dry-run=server")
            return "is no path that can be served" in said

        await eventually(judges)

    def log(self) -> str:
        """What the controller wrote."""
        return self._log.read_text(errors="replace")


@pytest.fixture
def release(api_cluster: ApiCluster, helm_binary: Path, namespace: str) -> Iterator[Release]:
    """An installed gateway with a webhook, before its controller starts."""
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        made = Release(api_cluster, helm_binary, namespace, Path(folder))
        made.install()
        yield made
        made.uninstall()


async def test_from_chart_to_verdict(release: Release) -> None:
    """With the chart's rights alone the controller makes its certificate and judges Ingresses as they are written."""
    release.start()
    try:
        await release.works()
    except AssertionError as error:
        raise AssertionError(release.log()[-3000:]) from error
    ours = {"ingress_class": release.name}
    assert release.create(ingress("good", "a.test", "/", "/shop", **ours)) == ""
    said = release.create(ingress("bad", "a.test", "/a;b", **ours))
    assert "denied the request: spec.rules[0].http.paths[0].path: '/a;b' is no path that can be served" in said
    said = release.create(ingress("snippet", "b.test", **ours, configuration_snippet="return 200;"))
    assert f"denied the request: metadata.annotations[{PREFIX}configuration-snippet]: never offered" in said
    said = release.create(ingress("double", "a.test", "/other", "/shop", **ours))
    assert f"Prefix path /shop of host a.test is served by Ingress {release.namespace}/good" in said
    canary = ingress("canary", "a.test", "/shop", **ours, canary="true", canary_weight="10")
    assert release.create(canary) == ""
    warned = release.create(ingress("warned", "c.test", **ours, enable_modsecurity="true"), "--warnings-as-errors")
    assert "enable-modsecurity" in warned
    assert release.create(ingress("theirs", "a.test", "/a;b")) == ""  # another controller's, or nobody's


async def test_changes_of_what_is_stored_already(release: Release) -> None:
    """A bad Ingress from before can be labelled, mended and deleted, but not made worse."""
    ours = {"ingress_class": release.name}
    patch_policy(release, "Ignore")
    assert release.create(ingress("old", "a.test", "/a;b", **ours)) == ""
    patch_policy(release, "Fail")
    release.start()
    await release.works()
    kubectl, where = release.cluster.kubectl, ("-n", release.namespace)
    kubectl("label", "ingress", "old", "a=b", *where)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        kubectl("annotate", "ingress", "old", f"{PREFIX}proxy-body-size=8m;}}", *where)
    assert "denied the request" in refused.value.stderr
    kubectl("annotate", "ingress", "old", f"{PREFIX}proxy-body-size=8m", *where)
    kubectl("delete", "ingress", "old", *where)


async def test_kk6238_kk6240_a_webhook_that_is_down(release: Release) -> None:
    """Fail stops writes, Ignore lets them pass; a controller that is back judges with the same certificate."""
    release.start()
    await release.works()
    ours = {"ingress_class": release.name}
    before = secret_of(release)
    release.stop(signal.SIGKILL)
    assert "failed calling webhook" in release.create(ingress("good", "a.test", **ours))
    patch_policy(release, "Ignore")

    async def passes() -> bool:
        return release.create(ingress("bad", "b.test", "/a;b", **ours), "--dry-run=server") == ""

    await eventually(passes)
    patch_policy(release, "Fail")
    release.start()
    await release.works()
    assert secret_of(release) == before


async def test_big_ingresses(release: Release) -> None:
    """The biggest that the API server stores are judged, too: the one bad path among thousands is found."""
    release.start()
    await release.works()
    paths = [f"/part-{number}" for number in range(6000)]
    assert release.create(ingress("big", "a.test", *paths, ingress_class=release.name)) == ""
    said = release.create(ingress("worse", "b.test", *paths, "/a;b", ingress_class=release.name))
    assert "spec.rules[0].http.paths[6000].path" in said


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)], ids=["exchange", "to-the-end"])
async def test_rotation_without_a_refused_request(release: Release, api: Api, *, whole: bool) -> None:
    """Writes go on while the certificate is exchanged (and its authority ends); none is refused, and each is judged."""
    secret, configuration = (release.namespace, f"{release.name}-admission-tls"), f"{release.name}-admission"
    life = dt.timedelta(seconds=36) if whole else dt.timedelta(hours=1)
    times = Times(life=life, settle=dt.timedelta(seconds=2))
    planted = None if whole else await _plant_an_old_one(api, secret)
    keeper = Keeper(api, secret, configuration, times, look_every=0.3)
    serving = ServingContext()
    judge = Judge(PathIndex(), is_ours=lambda _obj: True, parse=parse_ingress)
    server = AdmissionServer(lambda: judge, lambda _outcome, _seconds: None)
    work = [
        asyncio.create_task(keeper.run()),
        asyncio.create_task(follow_secret(api, secret, serving)),
        asyncio.create_task(server.listen("127.0.0.1", release.port, serving)),
    ]
    try:
        await eventually(lambda: _judged(api, release))
        first = planted or read_keys(await api.get(SECRETS, secret[1], secret[0]))
        bundles: set[str] = set()
        async with asyncio.timeout(240):
            while True:
                assert await _judged(api, release)
                bundle = (await api.get(CONFIGURATIONS, configuration))["webhooks"][0]["clientConfig"]["caBundle"]
                bundles.add(bundle)
                keys = read_keys(await api.get(SECRETS, secret[1], secret[0]))
                is_over = first.authorities not in keys.authorities or not whole
                if keys.current != first.current and is_over and base64.b64decode(bundle) == keys.authorities:
                    break  # the new one serves; if `whole`, the first authority has ended, and nobody trusts it
                await asyncio.sleep(0.1)
        for _ in range(10):
            assert await _judged(api, release)
        assert len(bundles) >= (3 if whole else 1)  # the first alone, both, the second alone
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)


async def _plant_an_old_one(api: Api, secret: tuple[str, str]) -> Keys:
    """Put a certificate into the Secret that is to be exchanged in moments, after two thirds of its hour."""
    began = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=40, seconds=-3)
    authority, pair = make(("127.0.0.1",), began, dt.timedelta(hours=1))
    data = {"ca.crt": authority, "tls.crt": pair.certificate, "tls.key": pair.key}
    encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
    return read_keys(await api.merge_patch(SECRETS, secret[1], {"data": encoded}, secret[0], field_manager="test"))


async def _judged(api: Api, release: Release) -> bool:
    """Send a good Ingress, which must pass, and a bad one, which must be refused for its path."""
    try:
        await _dry_run(api, release.namespace, ingress("good", "a.test"))
        await _dry_run(api, release.namespace, ingress("bad", "a.test", "/a;b"))
    except ApiError as error:
        return "is no path that can be served" in str(error)
    return False


async def _dry_run(api: Api, namespace: str, obj: dict[str, Any]) -> None:
    await api.raw("POST", INGRESSES.path(namespace), query={"dryRun": "All"}, body=obj)


def patch_policy(release: Release, policy: str) -> None:
    """Set the failurePolicy."""
    ops = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": policy}]
    name = f"{release.name}-admission"
    release.cluster.kubectl("patch", "validatingwebhookconfiguration", name, "--type=json", "-p", json.dumps(ops))


def secret_of(release: Release) -> dict[str, str]:
    """The data of the webhook's Secret."""
    words = ("get", "secret", f"{release.name}-admission-tls", "-n", release.namespace, "-o", "json")
    return dict(json.loads(release.cluster.kubectl(*words))["data"])
