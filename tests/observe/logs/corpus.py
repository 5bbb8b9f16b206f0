"""Access lines as gateways write them and pipelines store them, and an index of a test's own to put them into."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway_operator.observe.tenant import Tenant
from gateway_operator.settings_api import ElasticsearchSettings
from lab.servers.elasticsearch import READER, Elasticsearch

NOON = 1_795_262_400  # 2026-11-21 12:00:00 UTC
WORKING = "kubesphere-controls-system"
SHOP, CLUSTER = "kubesphere-router-shop", "kubesphere-router-kubesphere-system"
OWN = Tenant.project("shop", SHOP, WORKING)
SHARE = Tenant.project("shop", CLUSTER, WORKING, own=False)
ALL = Tenant.cluster(CLUSTER, WORKING)
KEYWORDS = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}


def nginx_escaped(text: str) -> str:
    """What nginx writes for a client's text."""
    return "".join(
        f"\\x{byte:02X}" if byte < 32 or byte > 126 or chr(byte) in '"\\' else chr(byte) for byte in text.encode()
    )


def access(
    route: str = "shop-tea-80",
    *,
    status: int = 200,
    method: str = "GET",
    path: str = "/tea",
    referer: str = "-",
    agent: str = "curl/8",
    user: str = "-",
    latency: float = 0.004,
    upstream: str = "10.1.0.5:8080",
    request_id: str = "5f0c",
) -> str:
    """A line of the usual log format; clients' texts are escaped as nginx does it."""
    texts = [nginx_escaped(text) for text in (referer, agent)]
    return (
        f'203.0.113.7 - {nginx_escaped(user)} [21/Nov/2026:12:00:00 +0000] "{method} {nginx_escaped(path)} HTTP/1.1" '
        f'{status} 2 "{texts[0]}" "{texts[1]}" 77 {latency:.3f} [{route}] [] {upstream} 2 {latency:.3f} {status} '
        f"{nginx_escaped(request_id)}"
    )


def json_access(namespace: str = "shop", **fields: Any) -> str:
    """A line of a log format in JSON that names the route's namespace, the host and the cluster."""
    line = {
        "namespace": namespace,
        "status": 200,
        "method": "GET",
        "host": "shop.example.com",
        "uri": "/tea",
        "request_time": 0.004,
        "upstream_addr": "10.1.0.5:8080",
        "cluster": "wuhan",
        "http_user_agent": "curl/8",
    }
    return json.dumps({**line, **fields})


def numbered(pod: str, count: int) -> Iterator[str]:
    """Documents with paths /tea/0, /tea/1 ... of one pod, a millisecond apart from noon; cheap, for large indices."""
    shape = json.dumps(document(access(path="/tea/@"), pod, at=NOON))
    for n in range(count):
        yield shape.replace("/tea/@", f"/tea/{n}").replace(stamp(NOON), stamp(NOON + n / 1000))


def stamp(at: float) -> str:
    """A time as pipelines write it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def pod_of(workload: str, rollout: str = "7d9f8b6c5d", name: str = "x2x9z") -> str:
    """The name of a pod of a Deployment."""
    return f"{workload}-{rollout}-{name}"


def document(log: str, pod: str, *, at: float = NOON, namespace: str = WORKING, container: str = "controller") -> Any:
    """What KubeSphere's pipeline stores of a line."""
    kubernetes = {
        "namespace_name": namespace,
        "pod_name": pod,
        "container_name": container,
        "docker_id": f"id-{pod}-{container}",
    }
    return {"time": stamp(at), "log": log + "\n", "kubernetes": kubernetes}


@dataclass
class Corpus:
    """Indices of one test; `settings` are those of a reader of them."""

    server: Elasticsearch
    prefix: str = field(default_factory=lambda: f"t-{uuid.uuid4().hex[:10]}-log")

    def settings(self, **changes: Any) -> ElasticsearchSettings:
        """Our settings for these indices, with the rights of a reader."""
        given = {
            "urls": (self.server.url,),
            "ca_file": self.server.ca_file,
            "username": READER,
            "password_file": self.server.password_file,
            "index": f"{self.prefix}-*",
            "timeout": 60,
            "scan_seconds": 300,
        }
        return ElasticsearchSettings(**{**given, **changes})

    def create(self, day: str = "2026.11.21", **properties: Any) -> str:
        """Make the index of a day, with dynamic mappings as KubeSphere has them."""
        name = f"{self.prefix}-{day}"
        settings = {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"}
        mappings = {"properties": properties} if properties else {}
        self.server.call("PUT", f"/{name}", {"settings": settings, "mappings": mappings})
        return name

    def add(self, documents: Iterable[Any], day: str = "2026.11.21") -> None:
        """Store documents; they are found when this returns."""
        for chunk in _chunks(documents, 5000):
            lines = (f'{{"create":{{}}}}\n{one if isinstance(one, str) else json.dumps(one)}\n' for one in chunk)
            answer = self.server.call("POST", f"/{self.prefix}-{day}/_bulk?filter_path=errors", "".join(lines))
            assert not answer["errors"]
        self.server.call("POST", f"/{self.prefix}-*/_refresh")

    def open_searches(self) -> int:
        """How many points in time and scrolls are open on these indices, whatever other tests do on the server."""
        found = self.server.call("GET", f"/{self.prefix}-*/_stats/search")
        return int(found["_all"]["total"]["search"]["open_contexts"])

    def key(self, pattern: str) -> str:
        """Make an API key that may read indices, and nothing else; as it stands in a file."""
        reads = {"cluster": [], "indices": [{"names": [pattern], "privileges": ["read"]}]}
        body = {"name": self.prefix, "role_descriptors": {"reads": reads}}
        return str(self.server.call("POST", "/_security/api_key", body)["encoded"])

    def take_back_keys(self) -> None:
        """Make the keys invalid."""
        self.server.call("DELETE", "/_security/api_key", {"name": self.prefix})

    def remove(self) -> None:
        """Delete the indices."""
        found = self.server.call("GET", f"/_cat/indices/{self.prefix}-*?format=json&h=index")
        for row in found:
            self.server.call("DELETE", f"/{row['index']}")


@contextmanager
def indices(server: Elasticsearch) -> Iterator[Corpus]:
    """Indices that are gone afterwards."""
    corpus = Corpus(server)
    try:
        yield corpus
    finally:
        corpus.remove()


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
