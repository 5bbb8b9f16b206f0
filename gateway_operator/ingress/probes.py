"""What an nginx can tell of itself: its version, its package, whether it has Lua, and what its workers serve.

The answers come from running it, not from file names: a module that doesn't load isn't there.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

LUA_SINCE = 10_022  # 0.10.22: what the Lua files of this package are written for
MODULES = ("ndk_http_module", "ngx_http_lua_module")
PACKAGES = ("nginx-light", "nginx-core", "nginx-full", "nginx-extras", "nginx")
_LUA_CONFIG = """\
{modules}
pid {folder}/pid;
error_log stderr;
daemon off;
master_process off;
events {{}}
http {{
    lua_package_path "{libraries}/share/lua/5.1/?.lua;;";
    init_by_lua_block {{
        require "cjson.safe"
        require "ngx.balancer"
        require "ngx.ssl"
        io.stderr:write("lua-version ", ngx.config.ngx_lua_version, "\\n")
        os.exit(0)
    }}
}}
"""


class Runner(Protocol):
    """Runs a process to its end, as `Children.run` does."""

    async def __call__(self, argv: Sequence[str], *, timeout: float) -> tuple[int, str]:  # noqa: ASYNC109
        """Return exit code and stderr."""
        ...


async def nginx_version(run: Runner, binary: str) -> str:
    """Return the version as nginx prints it; "" when it prints none."""
    _, output = await run([binary, "-v"], timeout=10)
    match = re.search(r"nginx/(\d+(?:\.\d+)*)", output)
    return match[1] if match else ""


async def lua_version(run: Runner, binary: str, modules: str) -> int:
    """Return the Lua module's version as a number (0.10.28 is 10028); 0 where Lua or a library of it is missing."""
    if not all(Path(modules, f"{name}.so").is_file() for name in MODULES):  # noqa: ASYNC240
        return 0
    with tempfile.TemporaryDirectory(prefix="lua-") as folder:
        loads = "\n".join(f"load_module {modules}/{name}.so;" for name in MODULES)
        config = Path(folder) / "nginx.conf"
        libraries = Path(modules).parents[2]
        config.write_text(_LUA_CONFIG.format(modules=loads, folder=folder, libraries=libraries))
        _, output = await run([binary, "-e", "stderr", "-p", folder, "-c", str(config)], timeout=10)  # -t runs no Lua
    match = re.search(r"^lua-version (\d+)$", output, re.MULTILINE)
    return int(match[1]) if match else 0


def package_version(version: str, status: Path = Path("/var/lib/dpkg/status")) -> str:
    """Return the revision of the distribution's nginx package (1.26.3-3+deb13u7); "" when nginx isn't from it."""
    try:
        text = status.read_text(errors="replace")
    except OSError:
        return ""
    for paragraph in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Package") in PACKAGES and fields.get("Status", "").endswith(" installed"):
            found = fields.get("Version", "").rpartition(":")[2]
            if found.partition("-")[0] == version:
                return found
    return ""


async def configuration_version(port: int) -> str:
    """Ask nginx's workers for their configuration version on a new connection; "" when nobody answers."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /configuration-version HTTP/1.0\r\n\r\n")
                answer = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return ""
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode(errors="replace").strip() if b" 200 " in head.split(b"\r\n")[0] else ""
