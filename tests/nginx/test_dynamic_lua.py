"""The Lua modules by themselves: nginx runs each file of tests/nginx/lua at its start, and ends."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.nginx import modules
from tests.nginx.dynamic_harness import LUA

TESTS = sorted((Path(__file__).parent / "lua").glob("*_test.lua"))
CONFIG = """
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
events {{}}
daemon off;
http {{
    lua_package_path "{lua}/?.lua;{share}/lua/5.1/?.lua;{share}/luajit-2.1/?.lua;;";
    lua_package_cpath "{lib}/x86_64-linux-gnu/lua/5.1/?.so;;";
    lua_shared_dict gateway 64m;
    lua_shared_dict gateway_limits 1m;
    lua_shared_dict gateway_metrics 1m;
    init_by_lua_block {{
        local ok, err = pcall(dofile, "{test}")
        io.stderr:write(ok and "" or tostring(err))
        os.exit(ok and 0 or 1)
    }}
}}
"""


@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.stem)
def test_lua(nginx_binary: Path, tmp_path: Path, test: Path) -> None:
    """Every assertion of the file holds."""
    folder = modules()
    config = tmp_path / "nginx.conf"
    usr = folder.parents[2]
    config.write_text(CONFIG.format(modules=folder, lua=LUA, share=usr / "share", lib=usr / "lib", test=test))
    done = subprocess.run(
        [nginx_binary, "-p", tmp_path, "-c", config, "-e", "stderr"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
