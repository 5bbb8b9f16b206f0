"""A real Elasticsearch within seconds, of version 8 or 9: Elastic's own build, with TLS, users and API keys.

It starts in a user namespace, because Elasticsearch refuses to run as root. Tests share one server among processes;
each holds a lock on it, and when the last holder has ended, however it ended, the server ends, too.
"""

import base64
import fcntl
import hashlib
import json
import os
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from lab.debian import require
from lab.errors import LabError
from lab.java import java
from lab.paths import locked, run_dir
from lab.pki import Authority
from lab.process import Daemons, wait_for
from lab.servers import elasticsearch_build as build
from lab.servers.elasticsearch_build import EIGHT, NINE
from lab.servers.place import BESIDE, LOOPBACK, Place

__all__ = ["ADMIN", "EIGHT", "NINE", "READER", "SHIPPER", "Elasticsearch"]
PROGRAMS = {"unshare": "util-linux", "flock": "util-linux"}
START_SECONDS = 180.0
NAME = "elasticsearch"
ADMIN, SHIPPER, READER = "admin", "shipper", "reader"
_ROLES = {
    SHIPPER: '{"cluster": ["monitor", "manage_index_templates"], "indices": [{"names": ["*"], "privileges": '
    '["create_index", "create_doc", "index", "auto_configure"]}]}',
    READER: '{"cluster": ["monitor"], "indices": [{"names": ["*"], "privileges": ["read"]}]}',
}
_JVM = """\
-Xms512m
-Xmx512m
-XX:+UseSerialGC
-XX:TieredStopAtLevel=1
-XX:-AlwaysPreTouch
-Djava.io.tmpdir=${ES_TMPDIR}
-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1
-XX:+ExitOnOutOfMemoryError
"""
_SETTINGS = """\
cluster.name: lab
http.host: {host}
http.port: {port}
transport.host: 127.0.0.1
transport.port: {transport}
discovery.type: single-node
node.processors: 2
cluster.routing.allocation.disk.threshold_enabled: false
xpack.security.enabled: true
xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.certificate: {config}/pki/server.crt
xpack.security.http.ssl.key: {config}/pki/server.key
xpack.security.transport.ssl.enabled: false
path.data: {folder}/data
path.logs: {folder}/logs
"""


@dataclass(frozen=True)
class Elasticsearch:
    """A server that runs; `password` is that of all three users (`admin`, `shipper`, `reader`)."""

    folder: Path
    port: int
    transport: int
    password: str
    host: str = LOOPBACK
    version: str = EIGHT

    @classmethod
    def start(cls, folder: Path, place: Place = BESIDE, *, version: str = EIGHT, holders: Path | None = None) -> Self:
        """Start a server with empty data in `folder`; returns when it answers.

        It dies as its place says, or with the last that holds a lock on the file `holders`.
        """
        home = build.home(version)
        require(PROGRAMS)
        Daemons(folder).stop_all(kill=True)
        shutil.rmtree(folder, ignore_errors=True)
        port, transport = place.ports(9200, 9300)
        server = cls(folder, port, transport, base64.b32encode(os.urandom(15)).decode(), place.host, version)
        server._configure(home)
        server._run(home, holders, place)
        plan = {**asdict(server), "folder": str(folder)}
        path = folder / "plan.json"
        path.touch(0o600)
        path.write_text(json.dumps(plan))
        return server

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The server that runs in `folder`, started by whichever process."""
        try:
            plan = json.loads((folder / "plan.json").read_text())
        except (OSError, ValueError):
            return None
        found = cls(**{**plan, "folder": Path(plan["folder"])})
        return found if Daemons(folder).alive(NAME) and found._answers() else None

    @classmethod
    @contextmanager
    def shared(cls, version: str = EIGHT) -> Iterator[Self]:
        """The server that all processes of this user share; it ends when the last of them has left."""
        folder = run_dir(f"shared-elasticsearch-{version}-{_digest()}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        holders = folder.with_name(f"{folder.name}.holders")
        with holders.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH)
            with locked(f"shared-elasticsearch-{version}"):
                server = cls.find(folder)
                if server is None:
                    server = cls.start(folder, version=version, holders=holders)
            yield server

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://{self.host}:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The certificate that clients check the server against."""
        return self.folder / "config" / "pki" / "ca.crt"

    @property
    def password_file(self) -> Path:
        """A file with the password of the three users."""
        return self.folder / "password"

    def stop(self) -> None:
        """End the server; its data stays."""
        Daemons(self.folder).stop(NAME, patience=20)

    def start_again(self) -> None:
        """Start it again after `stop`: same address, same data."""
        self._run(build.home(self.version), None, BESIDE)

    def call(self, method: str, path: str, body: object = None, *, timeout: float = 60) -> Any:
        """Ask the server as its administrator; `body` is JSON, or the lines of a bulk request as text."""
        text = body if isinstance(body, str) else json.dumps(body)
        kind = "application/x-ndjson" if isinstance(body, str) else "application/json"
        request = urllib.request.Request(  # noqa: S310 (https)
            f"{self.url}{path}", method=method, data=None if body is None else text.encode()
        )
        secret = base64.b64encode(f"{ADMIN}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {secret}")
        request.add_header("Content-Type", kind)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:  # noqa: S310
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise LabError(f"{method} {path}: {error.read().decode()[:2000]}") from None

    def _configure(self, home: Path) -> None:
        config = self.folder / "config"
        for part in ("data", "logs", "tmp"):
            (self.folder / part).mkdir(parents=True)
        shutil.copytree(home / "config", config)
        Authority(config / "pki", NAME).issue("server", NAME, hosts=dict.fromkeys(["localhost", LOOPBACK, self.host]))
        text = _SETTINGS.format(
            host=self.host, port=self.port, transport=self.transport, config=config, folder=self.folder
        )
        (config / "elasticsearch.yml").write_text(text)
        (config / "jvm.options").write_text(_JVM)
        for path in (config / "users", self.password_file):
            path.touch(0o600)
        hashed = _hashed(self.password)
        (config / "users").write_text("".join(f"{user}:{hashed}\n" for user in (ADMIN, SHIPPER, READER)))
        (config / "users_roles").write_text(f"superuser:{ADMIN}\n{SHIPPER}:{SHIPPER}\n{READER}:{READER}\n")
        (config / "roles.yml").write_text("".join(f"{name}: {role}\n" for name, role in _ROLES.items()))
        self.password_file.write_text(self.password)

    def _run(self, home: Path, holders: Path | None, place: Place) -> None:
        unshare = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
        env = {
            "ES_JAVA_HOME": str(java(build.JAVA[self.version])),
            "ES_PATH_CONF": str(self.folder / "config"),
            "ES_TMPDIR": str(self.folder / "tmp"),
            "CLI_JAVA_OPTS": "-Xmx32m -XX:TieredStopAtLevel=1",
        }
        daemons = Daemons(self.folder, tied=place.tied and holders is None, prefix=[*place.enter, *unshare])
        daemons.start(NAME, [home / "bin" / "elasticsearch"], env)
        if holders is not None:
            self._end_with(holders)
        wait_for("the start of Elasticsearch", self._ready_or_dead, seconds=START_SECONDS, blame=self._blame)
        self.call("GET", "/_cluster/health?wait_for_status=yellow&timeout=60s")

    def _ready_or_dead(self) -> bool:
        if not Daemons(self.folder).alive(NAME):
            raise LabError(f"Elasticsearch ended at once:\n{self._blame()}")
        return self._answers()

    def _answers(self) -> bool:
        try:
            self.call("GET", "/_cluster/health", timeout=10)
        except (OSError, LabError):
            return False
        return True

    def _blame(self) -> str:
        return Daemons(self.folder).tail(NAME)

    def _end_with(self, holders: Path) -> None:
        """Leave a process behind that ends the server as soon as nobody holds the lock any more."""
        pid = Daemons(self.folder).pid(NAME)
        script = f"kill {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.2; done; rm -rf '{self.folder}'"
        Daemons(self.folder.with_name(f"{self.folder.name}.guard")).start(
            f"guard-{pid}", ["flock", "--exclusive", holders, "sh", "-c", script]
        )


def _hashed(password: str) -> str:
    """Hash a password as the server's file realm reads it; it is random, so few rounds are enough."""
    rounds, salt = 1000, os.urandom(32)
    parts = (salt, hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 32))
    return f"{{PBKDF2}}{rounds}$" + "$".join(base64.b64encode(part).decode() for part in parts)


def _digest() -> str:
    """A digest of what decides how a server runs, so that versions of the lab don't share one."""
    return hashlib.sha256(repr((_SETTINGS, _JVM, _ROLES, build.DIGEST)).encode()).hexdigest()[:8]
