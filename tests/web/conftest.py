"""The API as it runs in a cluster: its own program parts, its ServiceAccount with the chart's rights, TLS, real users.

One API server and one API for all tests of a process; each test has projects and users of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway_operator.commands.api import Running, parts
from gateway_operator.crds.manifests import all_yaml
from gateway_operator.settings_api import ApiSettings
from gateway_operator.web.server import serve
from lab.apiserver import ApiCluster
from lab.control import free_ports

WORKING = "kubesphere-controls-system"
CHARTS = Path(__file__).resolve().parents[2] / "charts"
PREFIX = "/kapis/gateway.kubesphere.io/v1alpha1"
HOME = "gateway-system"  # where the API's ServiceAccount lives


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)

    @property
    def reason(self) -> str:
        """The reason of a problem, whose form is checked on the way."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self.text
        assert {"type", "title", "status", "detail", "reason"} <= self.json.keys()
        assert self.json["status"] == self.status
        return str(self.json["reason"])


@dataclass
class User:
    """Somebody who asks: a ServiceAccount with a real token, or the bearer of a client certificate."""

    url: str
    ca: str
    token: str = ""
    certificate: Path | None = None
    name: str = ""
    _sessions: list[aiohttp.ClientSession] = field(default_factory=list)

    def context(self) -> ssl.SSLContext:
        """Trust the API, and show the certificate where there is one."""
        context = ssl.create_default_context(cadata=self.ca)
        if self.certificate:
            context.load_cert_chain(self.certificate)
        return context

    @contextlib.asynccontextmanager
    async def session(self, **more: Any) -> AsyncIterator[aiohttp.ClientSession]:
        """Open connections as this user."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connector = aiohttp.TCPConnector(ssl=self.context(), limit=0)
        async with aiohttp.ClientSession(self.url, headers=headers, connector=connector, **more) as session:
            yield session

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        """Send one request; a path that begins with / is below KubeSphere's prefix of gateways."""
        full = (
            path
            if path.startswith("/kapis") or path in {"/healthz", "/readyz", "/metrics", "/openapi.json"}
            else PREFIX + path
        )
        async with self.session() as session, session.request(method, full, **more) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    async def get(self, path: str, **more: Any) -> Answer:
        """Read."""
        return await self.ask("GET", path, **more)


class Served:
    """The running API."""

    def __init__(self, cluster: ApiCluster, folder: Path, settings: dict[str, Any]) -> None:
        """Prepare settings; `start` runs the server in a thread with a loop of its own."""
        self.cluster = cluster
        self.folder = folder
        (self.port,) = free_ports(1)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        self.ca = authority.cert_pem.bytes().decode()
        self.cert, self.key = folder / "tls.crt", folder / "tls.key"
        issued.cert_chain_pems[0].write_to_path(self.cert)
        issued.private_key_pem.write_to_path(self.key)
        providers = folder / "providers.yaml"
        providers.write_text("[]")
        api = {
            "providersFile": providers,
            "listen": f"127.0.0.1:{self.port}",
            "tls": {"certFile": self.cert, "keyFile": self.key},
            "watchesFile": CHARTS.parent / "watches.yaml",
            "limits": {"requestsPerSecond": 1000, "burst": 100000, "streamsPerSubject": 1000},
            # what a test changes in Roles must count at once
            "access": {"allowedSeconds": 0, "deniedSeconds": 0, "tokenSeconds": 0},
        }
        self.settings = ApiSettings.model_validate(settings | {"api": api | settings.get("api", {})})
        self.url = f"https://127.0.0.1:{self.port}"
        self.providers = providers
        self.running: Running | None = None
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._main, name="api")

    def start(self) -> None:
        """Start and wait until it listens."""
        self._thread.start()
        assert self._ready.wait(120)

    def stop(self) -> None:
        """Stop and wait for the end."""
        assert self._task is not None
        self.loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(60)
        self.loop.close()

    def run(self, work: Any) -> Any:
        """Run a coroutine in the server's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)

    def user(self, token: str = "", certificate: Path | None = None, name: str = "") -> User:
        """Return somebody who asks this API."""
        return User(self.url, self.ca, token, certificate, name)

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._task = self.loop.create_task(self._serve())
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self._task)
        self.loop.run_until_complete(asyncio.sleep(0.1))  # closed connections let go of their sockets
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())

    async def _serve(self) -> None:
        async with parts(self.settings) as running:
            self.running = running
            serving = asyncio.create_task(serve(running.server))
            while not running.server.started or running.services.gateways.problem():
                await asyncio.sleep(0.05)
            self._ready.set()
            try:
                await asyncio.shield(serving)
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)


@pytest.fixture(scope="session")
def with_crds(api_cluster: ApiCluster) -> ApiCluster:
    """A cluster that knows our kinds and has the working namespace."""
    api_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=all_yaml())
    api_cluster.kubectl("wait", "--for=condition=Established", "crd/gateways.gateway.kubesphere.io", "--timeout=120s")
    for name in (WORKING, HOME):
        with contextlib.suppress(subprocess.CalledProcessError):
            api_cluster.kubectl("create", "namespace", name)
    return api_cluster


@pytest.fixture(scope="session")
def account(with_crds: ApiCluster, helm_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig with the rights that the chart gives the API, and no more."""
    logs = {"observability": {"elasticsearch": {"urls": ["https://elasticsearch:9200"]}}}
    values = {"api": {"enabled": True, "tls": {"secretName": "tls"}, "config": logs}, "crds": {"install": False}}
    command = [str(helm_binary), "template", "web", str(CHARTS / "gateway-operator"), "-n", HOME, "--values", "-"]
    rendered = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=True).stdout
    kinds = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    objects = [o for o in yaml.safe_load_all(rendered) if o and o["kind"] in kinds]
    with_crds.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))
    token = with_crds.kubectl("create", "token", "web-gateway-operator-api", "-n", HOME).strip()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "c", "cluster": {"server": with_crds.url, "certificate-authority": str(with_crds.ca_file)}}
        ],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = tmp_path_factory.mktemp("web") / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


@pytest.fixture(scope="session")
def served(
    with_crds: ApiCluster, account: Path, helm_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The API, with nothing behind logs and metrics."""
    running = Served(
        with_crds, tmp_path_factory.mktemp("tls"), {"kubeconfig": account, "api": {"helm": str(helm_binary)}}
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture
def empty(with_crds: ApiCluster) -> ApiCluster:
    """A cluster without Gateways, whoever left some."""
    found = json.loads(with_crds.kubectl("get", "gateways.gateway.kubesphere.io", "-A", "-o", "json"))["items"]
    for one in found:
        place = (one["metadata"]["name"], "-n", one["metadata"]["namespace"])
        with contextlib.suppress(subprocess.CalledProcessError):
            if one["metadata"].get("finalizers"):
                patch = json.dumps({"metadata": {"finalizers": None}})
                with_crds.kubectl("patch", "gateways.gateway.kubesphere.io", *place, "--type=merge", "-p", patch)
            with_crds.kubectl("delete", "gateways.gateway.kubesphere.io", *place, "--ignore-not-found")
    return with_crds


@pytest.fixture
def project(empty: ApiCluster, served: Served) -> str:
    """A project."""
    name = f"shop-{uuid.uuid4().hex[:8]}"
    empty.kubectl("create", "namespace", name)
    return name


class People:
    """Makes users with rights."""

    def __init__(self, served: Served) -> None:
        """Make users of one API."""
        self.served = served

    def having(self, role: str = "", namespace: str = "") -> User:
        """Return a user with a ClusterRole in one namespace, or everywhere; without a role: with no rights."""
        kubectl = self.served.cluster.kubectl
        name = f"u-{uuid.uuid4().hex[:8]}"
        kubectl("create", "serviceaccount", name, "-n", HOME)
        if role:
            where = ["rolebinding", "-n", namespace] if namespace else ["clusterrolebinding"]
            kubectl("create", *where, name, f"--clusterrole={role}", f"--serviceaccount={HOME}:{name}")
        token = kubectl("create", "token", name, "-n", HOME).strip()
        return self.served.user(token, name=f"system:serviceaccount:{HOME}:{name}")

    def admin(self) -> User:
        """Somebody who may do all."""
        return self.having("cluster-admin")

    def manager(self, namespace: str) -> User:
        """Somebody who manages one project."""
        return self.having("web-gateway-operator-project", namespace)

    def certified(self, user: str, *groups: str, authority: Path | None = None) -> User:
        """Somebody with a client certificate of the cluster's client CA, or of another authority in a folder."""
        folder = authority or self.served.cluster.ca_file.parent
        path = self.served.folder / f"{uuid.uuid4().hex}.pem"
        path.write_bytes(client_certificate(folder, user, groups))
        return self.served.user(certificate=path, name=user)


@pytest.fixture
def people(served: Served) -> People:
    """Users of the API; a project's manager has the right to all of the gateways' group, as in KubeSphere."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "web-gateway-operator-project"},
        "rules": [{"apiGroups": ["gateway.kubesphere.io"], "resources": ["*"], "verbs": ["*"]}],
    }
    served.cluster.kubectl("apply", "-f", "-", input=json.dumps(role))
    return People(served)


def client_certificate(folder: Path, user: str, groups: tuple[str, ...]) -> bytes:
    """Issue a certificate and return it with its key, as PEM."""
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*names, x509.NameAttribute(x509.NameOID.COMMON_NAME, user)])
    builder = x509.CertificateBuilder(
        issuer_name=authority.subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=authority.not_valid_before_utc,
        not_valid_after=authority.not_valid_after_utc,
    ).add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    made = builder.sign(signer, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem) + private


async def eventually(check: Any, seconds: float = 60.0) -> Any:
    """Wait until an async check gives something true, and return it."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        found = await check()
        if found or asyncio.get_running_loop().time() > end:
            assert found, "it didn't come in time"
            return found
        await asyncio.sleep(0.05)
