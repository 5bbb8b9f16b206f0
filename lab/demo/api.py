"""The operator's HTTP API as a client has it: its address, its certificate, and tokens of ServiceAccounts."""

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from lab.demo import objects
from lab.demo.target import Target
from lab.errors import LabError

GATEWAYS = "/kapis/gateway.kubesphere.io/v1alpha1"
METRICS = "/kapis/monitoring.kubesphere.io/v1alpha3"
SERVICE = "gateway-operator-api"
_TLS = "gateway-operator-api-tls"
# more values for the operator's chart
VALUES = ("api.enabled=true", "api.replicaCount=1", f"api.tls.secretName={_TLS}", "api.service.type=NodePort")


class Refused(LabError):
    """An answer that isn't 2xx; `status` is its status, 0 where there was none."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class User:
    """Somebody who asks: a ServiceAccount, as RBAC calls it, and a token of it."""

    name: str
    token: str


@dataclass(frozen=True)
class Api:
    """The running API; `ca` is PEM, `metrics_url` where its own metrics are."""

    url: str
    metrics_url: str
    ca: str

    def get(self, user: User, path: str, /, **params: object) -> Any:
        """Ask and return the JSON that comes back. Raises Refused."""
        query = f"?{urllib.parse.urlencode(params)}" if params else ""
        request = urllib.request.Request(  # noqa: S310 (https)
            f"{self.url}{path}{query}", headers={"Authorization": f"Bearer {user.token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.context()) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Refused(error.code, f"{error.code} {_detail(error.read())}") from None
        except OSError as error:
            raise Refused(0, f"the API at {self.url} doesn't answer: {error}") from None

    def context(self) -> ssl.SSLContext:
        """Trust the API's own certificate."""
        return ssl.create_default_context(cadata=self.ca)


def prepare(target: Target) -> None:
    """Make the certificate with which the API will serve, unless there is one."""
    namespace = objects.OPERATOR_NAMESPACE
    if target.get("secret", _TLS, "-n", namespace):
        return
    target.kubectl("apply", "-f", "-", text=objects.namespace(namespace))
    hosts = [f"{SERVICE}.{namespace}.svc", target.node_ip]
    target.kubectl("apply", "-f", "-", text=json.dumps(objects.tls_secret(_TLS, namespace, hosts)))


def find(target: Target) -> Api:
    """The API that runs, by its node port."""
    namespace = objects.OPERATOR_NAMESPACE
    ports = target.get("service", SERVICE, "-n", namespace)["spec"]["ports"]
    port = {one["name"]: one["nodePort"] for one in ports}
    ca = objects.unbase64(target.get("secret", _TLS, "-n", namespace)["data"]["tls.crt"])
    address = target.node_ip
    return Api(f"https://{address}:{port['https']}", f"http://{address}:{port['metrics']}/metrics", ca)


def user(target: Target, name: str, namespace: str, role: str, *, everywhere: bool = False) -> User:
    """Make a ServiceAccount that has a ClusterRole in its namespace, or everywhere, and a token of it for an hour."""
    target.kubectl("apply", "-f", "-", text=objects.account(name, namespace, role, everywhere=everywhere))
    token = target.kubectl("create", "token", name, "-n", namespace, "--duration=1h").strip()
    return User(f"system:serviceaccount:{namespace}:{name}", token)


def _detail(body: bytes) -> str:
    try:
        problem = json.loads(body)
        return f"{problem['reason']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:500]
