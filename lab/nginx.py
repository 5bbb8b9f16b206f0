"""Run the image's nginx on the host, because tests of generated configs must meet the nginx that will load them.

The binary comes from a root file system of the image's Debian release and is started through that release's own
dynamic loader, so neither a chroot nor a matching host library is needed. Two paths differ from the image:
`load_module` wants the absolute path from `modules()`, and Lua's search path comes from the environment that the
wrapper sets.
"""

import hashlib
import os
import shutil
from pathlib import Path

from lab.debian import SUITE, derived_root
from lab.errors import LabError
from lab.paths import cache

PACKAGES = ["nginx-light", "libnginx-mod-http-lua", "libnginx-mod-stream", "lua-cjson"]
LIBRARIES = "usr/lib/x86_64-linux-gnu"

WRAPPER = """\
#!/bin/sh
# nginx of Debian {suite}, run by that release's own loader
root={root}
LUA_PATH="${{LUA_PATH:-$root/usr/share/lua/5.1/?.lua;$root/usr/share/lua/5.1/?/init.lua;$root/usr/share/luajit-2.1/?.lua;;}}"
LUA_CPATH="${{LUA_CPATH:-$root/{libraries}/lua/5.1/?.so;;}}"
export LUA_PATH LUA_CPATH
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --argv0 nginx --library-path "$root/{libraries}" "$root/usr/sbin/nginx" "$@"
"""


def nginx() -> Path:
    """An executable that behaves like the image's `nginx`; `GATEWAY_LAB_NGINX` names another one to use instead."""
    chosen = os.environ.get("GATEWAY_LAB_NGINX")
    if chosen:
        return _chosen(chosen)
    root = _root()
    text = WRAPPER.format(suite=SUITE, root=root, libraries=LIBRARIES)
    wrapper = cache() / "bin" / root.name
    if not wrapper.exists() or wrapper.read_text() != text:
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        aside = wrapper.with_name(f".{wrapper.name}.{os.getpid()}")
        aside.write_text(text)
        aside.chmod(0o755)
        aside.replace(wrapper)
    return wrapper


def modules() -> Path:
    """The folder of nginx's dynamic modules that fit `nginx()`."""
    if os.environ.get("GATEWAY_LAB_NGINX"):
        return Path("/usr/lib/nginx/modules")
    return _root() / "usr/lib/nginx/modules"


def package_list() -> Path:
    """The list of dpkg that has the package of `nginx()`."""
    root = Path("/") if os.environ.get("GATEWAY_LAB_NGINX") else _root()
    return root / "var/lib/dpkg/status"


def _root() -> Path:
    """The folder's name depends on the packages, so that a cache from before a change isn't taken for the new one."""
    digest = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:8]
    return derived_root(f"nginx-{digest}", PACKAGES)


def _chosen(name: str) -> Path:
    found = shutil.which(name)
    if not found:
        raise LabError(f"GATEWAY_LAB_NGINX names {name!r}, which isn't an executable")
    return Path(found)
