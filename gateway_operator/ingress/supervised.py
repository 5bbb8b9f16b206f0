"""The controller's side of the supervisor's socket: generations are written here, and nginx is asked to take them."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_operator.errors import GatewayOperatorError
from gateway_operator.ingress.render.common import version_file

FOLDER_MODE = 0o2750
FILE_MODE = 0o640
ANSWER_WITHIN = 300.0
VERSION_FILE = "version.conf"
INDEX_FILE = "index.json"


class SupervisorAway(GatewayOperatorError):
    """nginx's container doesn't answer (yet); asked again later."""


class GenerationRefused(GatewayOperatorError):
    """nginx didn't take a generation; `stage` is test or reload, `stderr` what nginx said."""

    def __init__(self, reply: Mapping[str, Any]) -> None:
        super().__init__(str(reply.get("error")))
        self.stage = str(reply.get("stage"))
        self.stderr = str(reply.get("stderr") or "")


@dataclass(frozen=True)
class NginxStatus:
    """What the supervisor tells of itself.

    `life` differs for each nginx master; `lua` is the folder of our Lua files, "" where nginx can't run them; `memory`
    is the limit in bytes, 0 for none.
    """

    running: bool
    current: str | None
    last_good: str | None
    nginx_version: tuple[int, ...]
    cpus: int
    ipv6: bool
    restarts: int
    package_version: str = ""
    modules: str = ""
    lua: str = ""
    lua_version: int = 0
    memory: int = 0
    life: str = ""
    draining_generations: int = 0
    draining_workers: int = 0
    draining_ended: int = 0
    cpu_seconds: float = 0.0
    read_bytes: float = 0
    written_bytes: float = 0
    virtual_bytes: float = 0
    resident_bytes: float = 0
    processes: int = 0
    oldest_start: float = 0.0


class Supervised:
    """Writes generations into the shared folder and talks to the supervisor."""

    def __init__(self, run_dir: Path, *, status_port: int) -> None:
        self._run_dir = run_dir
        self._status_port = status_port

    async def status(self) -> NginxStatus:
        """Ask how nginx is."""
        return _status(await self._ask({"cmd": "status"}))

    async def wait_for_another_life(self, life: str) -> NginxStatus:
        """Return when nginx's master is another one than `life`, or after a while; SupervisorAway when that died."""
        return _status(await self._ask({"cmd": "wait", "life": life}))

    async def apply(self, generation: str) -> None:
        """Make nginx serve a written generation; GenerationRefused when it doesn't, and the old one goes on."""
        await self._ask({"cmd": "apply", "generation": generation, "status_port": self._status_port})

    async def test(self, generation: str) -> None:
        """Let `nginx -t` judge a written generation without taking it."""
        await self._ask({"cmd": "test", "generation": generation})

    async def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                reader, writer = await asyncio.open_unix_connection(self._run_dir / "supervisor.sock", limit=1 << 20)
                try:
                    writer.write(json.dumps(request).encode() + b"\n")
                    line = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise SupervisorAway(f"nginx's supervisor doesn't answer: {error}") from error
        if not line:
            raise SupervisorAway("nginx's supervisor closed the connection")
        reply: dict[str, Any] = json.loads(line)
        if not reply.get("ok"):
            raise GenerationRefused(reply)
        return reply

    def write(self, files: Mapping[str, bytes], index: Mapping[str, Any]) -> str:
        """Write a generation aside, then give it its name; one that is there already is left alone."""
        name = generation_name(files)
        target = self._run_dir / name
        if target.is_dir():
            return name
        aside = self._run_dir / f".{name}.new"
        shutil.rmtree(aside, ignore_errors=True)
        extra = {VERSION_FILE: version_file(name.removeprefix("gen-")), INDEX_FILE: as_json(dict(index))}
        folders = {"servers", "certs", *(str(Path(file).parent) for file in files)} - {"."}
        for folder in ("", *sorted(folders)):
            (aside / folder).mkdir(parents=True)
            (aside / folder).chmod(FOLDER_MODE)
        for file, content in {**files, **extra}.items():
            with os.fdopen(os.open(aside / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as out:
                os.fchmod(out.fileno(), FILE_MODE)  # whatever the umask is
                out.write(content)
        aside.rename(target)
        return name

    def read(self, name: str | None) -> dict[str, bytes]:
        """Return the files of a generation that is there; none for anything else."""
        folder = self._run_dir / name if name and name.startswith("gen-") else None
        if folder is None or not folder.is_dir():
            return {}
        found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return {file: content for file, content in found.items() if file not in (VERSION_FILE, INDEX_FILE)}

    def prune(self, keep: set[str]) -> None:
        """Remove generations that nobody needs any more."""
        for folder in self._run_dir.glob("*gen-*"):
            if folder.is_dir() and not folder.is_symlink() and folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)


def generation_name(files: Mapping[str, bytes]) -> str:
    """Name a generation by its content: equal content is the same generation."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return f"gen-{digest.hexdigest()[:32]}"


def _status(reply: Mapping[str, Any]) -> NginxStatus:
    names = {item.name for item in dataclasses.fields(NginxStatus)}
    version = tuple(int(part) for part in str(reply.get("nginx_version") or "0").split("."))
    return NginxStatus(**{name: reply[name] for name in names & reply.keys()} | {"nginx_version": version})


def as_json(value: Any) -> bytes:
    """Return JSON for people and programs, with sorted keys."""
    return json.dumps(value, sort_keys=True).encode()
