"""The split config: what the operator tells a gateway about its policies. Written by one role, read by another.

It holds what people wrote (policies and members) and nothing that moves by itself, such as endpoints, so that it
changes only with them: it is kept as Helm values, and each change is a revision. What is at its default is left out.
A reader takes nothing on trust: every text is checked here again before it comes near nginx.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from gateway_operator.crds.base import Model
from gateway_operator.crds.member import NAME
from gateway_operator.crds.policy import HOST, KEY_NAME, MAX_PRIORITY, MAX_WEIGHT, OPTIONAL_NAME, PATH
from gateway_operator.errors import ConfigError

VERSION: Literal[1] = 1
CONFIG_KEY = "config.json"  # of the ConfigMap <fullname>-multicluster
TOTAL_ANNOTATION = "k8s.nginx.org/endpoints-total"  # on a mirror EndpointSlice: all endpoints, ready or not
SOURCE_LABEL = "multicluster.kubernetes.io/source-cluster"
_DIGEST_LENGTH = 16

Label = Annotated[str, StringConstraints(pattern=NAME, max_length=63)]
PathType = Literal["Exact", "Prefix", "ImplementationSpecific", "Default"]


class Cluster(Model):
    """A cluster that may answer. `mirror` is its mirror Service in the policy's namespace; without one it can't.

    `weight` None: in proportion to ready endpoints. `distance` is that of `traffic.shares.Candidate`.
    """

    name: Label
    weight: int | None = Field(None, ge=0, le=MAX_WEIGHT)
    priority: int = Field(0, ge=0, le=MAX_PRIORITY)
    distance: int = Field(0, ge=0, le=2)
    mirror: str = Field("", pattern=OPTIONAL_NAME, max_length=63)


class Service(Model):
    """The Service that answers; `port` is its port's name or number."""

    namespace: Label
    name: Label
    port: str = Field(pattern=NAME, max_length=63)


class SplitKey(Model):
    """What decides about the cluster; `name` is that of the header or cookie."""

    type: Literal["Request", "ClientIP", "Header", "Cookie"] = "Request"
    name: str = Field("", pattern=rf"^$|{KEY_NAME}", max_length=64)


class Sticky(Model):
    """The cookie that keeps a client at its cluster; 0 seconds: until the browser is closed."""

    cookie: str = Field(pattern=KEY_NAME, max_length=64)
    seconds: int = Field(0, ge=0)


class Backend(Model):
    """Who answers a path, and how its requests are spread. `clusters` are in the order of their names."""

    service: Service
    split_key: SplitKey = SplitKey()
    fail_on_empty: bool = False
    min_ready_percent: int = Field(0, ge=0, le=100)
    sticky: Sticky | None = None
    clusters: tuple[Cluster, ...] = ()


class Path(Model):
    """A path of a host; of type Default it is the default backend. Without a backend it answers 503.

    `where` is its field in the policy. `host` "" is every host that nobody else has.
    """

    where: str = Field(max_length=128)
    host: str = Field("", pattern=HOST, max_length=253)
    type: PathType
    path: str = Field("", pattern=PATH, max_length=1024)
    backend: Backend | None = None


class Policy(Model):
    """A policy, with the paths that no older policy has."""

    namespace: Label
    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)
    uid: str = Field("", max_length=64)
    created: str = Field("", max_length=32)
    paths: tuple[Path, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def age(self) -> tuple[str, str, str]:
        """Orders policies, the oldest first."""
        return self.created, self.namespace, self.name


class SplitConfig(Model):
    """All policies of one gateway, the oldest first. `digest` names this content; gateways repeat it when it serves.

    `grants` are the namespaces that may use a namespace's hosts, too, by the owner; `*` is all.
    """

    version: Literal[1] = VERSION
    digest: str = Field(pattern=r"^[0-9a-f]{16}$")
    policies: tuple[Policy, ...] = ()
    grants: dict[Label, tuple[str, ...]] = Field(default_factory=dict)

    @classmethod
    def of(cls, policies: Iterable[Policy], grants: Mapping[str, tuple[str, ...]] | None = None) -> SplitConfig:
        """Make a config and its digest."""
        found = tuple(sorted(policies, key=lambda policy: policy.age))
        return cls(digest=digest(found), policies=found, grants=dict(grants or {}))


PATH_TYPE: TypeAdapter[PathType] = TypeAdapter(PathType)
_POLICIES: TypeAdapter[Sequence[Policy]] = TypeAdapter(Sequence[Policy])


def digest(policies: Sequence[Policy]) -> str:
    """Return the name of a content: 16 hexadecimal digits."""
    return hashlib.sha256(_compact(_plain(policies)).encode()).hexdigest()[:_DIGEST_LENGTH]


def document(config: SplitConfig) -> dict[str, Any]:
    """Return the config as values: maps, lists, texts, whole numbers and booleans."""
    found = {"version": config.version, "digest": config.digest, "policies": _plain(config.policies)}
    return found | ({"grants": {name: list(to) for name, to in config.grants.items()}} if config.grants else {})


def dump_policy(policy: Policy) -> str:
    """Return one policy as it stands in the config's JSON."""
    return _compact(_plain([policy])[0])


def dump(config: SplitConfig) -> str:
    """Return the config as JSON on one line."""
    return _compact(document(config))


def parse(text: str | bytes) -> SplitConfig:
    """Read what `dump` wrote. Raises ConfigError, which names the field; unknown fields are left out."""
    try:
        return SplitConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or CONFIG_KEY
        raise ConfigError(f"the split config can't be used: {where}: {first['msg']}") from error


def _plain(policies: Sequence[Policy]) -> list[dict[str, Any]]:
    plain: list[dict[str, Any]] = _POLICIES.dump_python(policies, mode="json", by_alias=True, exclude_defaults=True)
    return plain


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
