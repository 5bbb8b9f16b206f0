"""Makes a credential for a member: an account that may read Services and EndpointSlices, and nothing else.

Each token has a Secret of its own in the member, so that old and new ones overlap, and an old one can be taken back by
deleting its Secret.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway_operator.clusters import kubeconfig
from gateway_operator.clusters.connection import judge, look_at
from gateway_operator.clusters.members import MEMBERS, SECRETS
from gateway_operator.crds.member import DEFAULT_KEY
from gateway_operator.crds.traffic import API_VERSION, GROUP
from gateway_operator.errors import AlreadyExists, ApiError, ConfigError, GatewayOperatorError, NotFound, Unauthorized
from gateway_operator.kube import Api, Connection
from gateway_operator.names import short_name

MANAGER = "gateway-operator-join"
TOKEN_LABEL = f"{GROUP}/member-token"  # on a token's Secret in the member: the name under which it joined
SECRET_LABEL = f"{GROUP}/member"  # on the kubeconfig's Secret in the centre
ACCOUNT = "gateway-operator-reader"
_POLL = 0.1
_TOKEN_SECONDS = 30.0

T = TypeVar("T")
Object = dict[str, Any]


class JoinFailed(GatewayOperatorError):
    """A member could not be joined; what was made for it is taken back."""


@dataclass(frozen=True)
class Wish:
    """What is to be joined: `namespace` is the operator's, `member_namespace` that of the account in the member."""

    name: str
    namespace: str
    member_namespace: str
    server: str
    ca: str | None = None
    server_name: str | None = None
    region: str = ""
    zone: str = ""
    network: str = ""

    @property
    def secret_name(self) -> str:
        """The Secret of the kubeconfig in the centre."""
        return short_name(f"member-{self.name}")


@dataclass(frozen=True)
class Token:
    """A token's Secret in the member, and the kubeconfig that it makes."""

    secret: str
    text: bytes

    @property
    def digest(self) -> str:
        """What the MemberCluster's status says once it is in use."""
        return kubeconfig.digest(self.text)


def account_objects(namespace: str) -> list[Object]:
    """Return what makes the account, in the order in which it is applied."""
    meta = {"name": ACCOUNT, "labels": {"app.kubernetes.io/managed-by": "gateway-operator"}}
    verbs = ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["services"], "verbs": verbs},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
    ]
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": meta | {"namespace": namespace},
            "automountServiceAccountToken": False,
        },
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": ACCOUNT},
            "subjects": [subject],
        },
    ]


def centre_objects(wish: Wish, text: bytes) -> list[Object]:
    """Return the MemberCluster and the Secret that the centre gets; with the last one the token is in use."""
    labels = {"app.kubernetes.io/managed-by": "gateway-operator", SECRET_LABEL: wish.name}
    places = {"region": wish.region, "zone": wish.zone, "network": wish.network}
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "MemberCluster",
            "metadata": {"name": wish.name},
            "spec": {
                "kubeconfigSecretRef": {"name": wish.secret_name},
                **{key: value for key, value in places.items() if value},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": wish.secret_name, "namespace": wish.namespace, "labels": labels},
            "type": "Opaque",
            "data": {DEFAULT_KEY: base64.b64encode(text).decode()},
        },
    ]


async def apply_all(api: Api, objects: Iterable[Object]) -> None:
    """Apply objects in order; a Namespace that is there already stays as it is."""
    for obj in objects:
        res = await api.resource(obj["apiVersion"], obj["kind"])
        if obj["kind"] == "Namespace":
            try:
                await api.create(res, obj)
            except AlreadyExists:
                continue
        else:
            await api.apply(res, obj, field_manager=MANAGER, force=True)


async def issue(member: Api, wish: Wish) -> Token:
    """Make a new token, and wait until the member has filled it in. Raises ApiError, JoinFailed."""
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "generateName": f"{ACCOUNT}-",
            "namespace": wish.member_namespace,
            "annotations": {"kubernetes.io/service-account.name": ACCOUNT},
            "labels": {"app.kubernetes.io/managed-by": "gateway-operator", TOKEN_LABEL: wish.name},
        },
        "type": "kubernetes.io/service-account-token",
    }
    secret = await member.create(SECRETS, body)
    name = secret["metadata"]["name"]
    end = time.monotonic() + _TOKEN_SECONDS
    while not (secret.get("data") or {}).get("token"):
        if time.monotonic() > end:
            await revoke(member, wish, name)
            raise JoinFailed(f"the member gave the Secret {wish.member_namespace}/{name} no token")
        await asyncio.sleep(_POLL)
        secret = await member.get(SECRETS, name, wish.member_namespace)
    return Token(name, _kubeconfig(wish, secret["data"]))


async def prove(token: Token) -> str:
    """Use the new credential as the operator will; returns the member's version. Raises JoinFailed.

    A member refuses a new token until its own view of Secrets shows it, so a refusal counts only if it lasts.
    """
    try:
        api = Api(Connection.of(kubeconfig.parse(token.text)))
    except ConfigError as error:
        raise JoinFailed(f"the new credential is no good: {error}") from error
    try:
        version, _ = await once_accepted(lambda: look_at(api, ""))
    except (ApiError, TimeoutError, ValueError, OSError) as error:
        reason, text = judge(error)
        raise JoinFailed(f"the new credential doesn't work ({reason}): {text}") from error
    finally:
        await api.close()
    return version


async def once_accepted(ask: Callable[[], Awaitable[T]], seconds: float = _TOKEN_SECONDS) -> T:
    """Ask until the credential is accepted. Raises Unauthorized when that takes too long, and what else `ask` does."""
    end = time.monotonic() + seconds
    while True:
        try:
            return await ask()
        except Unauthorized:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(_POLL)


async def revoke(member: Api, wish: Wish, name: str) -> None:
    """Take a token back: whoever uses it is refused from now on."""
    try:
        await member.delete(SECRETS, name, wish.member_namespace)
    except NotFound:
        return


async def older_tokens(member: Api, wish: Wish, but: str = "") -> list[str]:
    """Return the tokens that this name has got before."""
    listing = await member.list(SECRETS, wish.member_namespace, label_selector=f"{TOKEN_LABEL}={wish.name}")
    return sorted(item["metadata"]["name"] for item in listing.items if item["metadata"]["name"] != but)


async def taken_up(centre: Api, wish: Wish, digest: str, seconds: float) -> str:
    """Wait until the operator uses the credential; returns "" then, else why it doesn't."""
    end, why = time.monotonic() + seconds, "no operator has looked at it"
    while time.monotonic() < end:
        obj = await centre.get(MEMBERS, wish.name)
        status = obj.get("status") or {}
        states = {item["type"]: item for item in status.get("conditions") or ()}
        if status.get("credential") == digest and states.get("Connected", {}).get("status") == "True":
            return ""
        if states:
            worst = next((c for c in states.values() if c["status"] != "True"), None)
            why = worst["message"] if worst else why
        await asyncio.sleep(_POLL * 5)
    return why


def _kubeconfig(wish: Wish, data: dict[str, str]) -> bytes:
    ca = base64.b64encode(wish.ca.encode()).decode() if wish.ca else data["ca.crt"]
    cluster = {"server": wish.server, "certificate-authority-data": ca}
    if wish.server_name:
        cluster["tls-server-name"] = wish.server_name
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": wish.name, "cluster": cluster}],
        "users": [{"name": ACCOUNT, "user": {"token": base64.b64decode(data["token"]).decode()}}],
        "contexts": [{"name": wish.name, "context": {"cluster": wish.name, "user": ACCOUNT}}],
        "current-context": wish.name,
    }
    return json.dumps(document, indent=1).encode()
