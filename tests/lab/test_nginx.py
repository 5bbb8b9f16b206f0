"""The image's nginx on the host."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from lab.nginx import modules, nginx

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and not shutil.which("nginx"), reason="making a root file system needs root"
)


def test_lua_and_stream_load(tmp_path):
    """The modules that generated configs use load, with Lua's core library."""
    config = tmp_path / "nginx.conf"
    names = ("ndk_http_module", "ngx_http_lua_module", "ngx_stream_module")
    loads = "".join(f"load_module {modules() / name}.so;\n" for name in names)
    lua = 'require("ngx.balancer")'
    config.write_text(
        f"{loads}pid {tmp_path}/pid;\nevents {{}}\nhttp {{ init_by_lua_block {{ {lua} }} }}\nstream {{}}\n"
    )
    done = subprocess.run([nginx(), "-t", "-c", config, "-p", tmp_path], capture_output=True, text=True, check=False)
    assert "test is successful" in done.stderr, done.stderr


def test_version_is_the_images(tmp_path):
    """It is Debian stable's nginx, not the host's."""
    done = subprocess.run([nginx(), "-v"], capture_output=True, text=True, check=True)
    assert "nginx/1." in done.stderr
