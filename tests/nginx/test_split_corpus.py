"""Both renderers send a key to the same cluster: our Lua against nginx's own `split_clients`, in one real worker."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.nginx import modules
from tests.nginx.dynamic_harness import LUA
from tests.nginx.harness import free_port

VECTORS = ((8000, 2000), (7000, 2000, 1000), (9900, 100), (3333, 3333, 3334), (1, 9999), (10000,))
CONFIG = """
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
events {{}}
daemon off;
pid {folder}/pid;
http {{
    access_log off;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    lua_package_path "{lua}/?.lua;{share}/lua/5.1/?.lua;{share}/luajit-2.1/?.lua;;";
    lua_package_cpath "{lib}/x86_64-linux-gnu/lua/5.1/?.so;;";
    lua_shared_dict gateway 1m;
    {splits}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            set $key "";
            content_by_lua_block {{
                local split, var = require "split", ngx.var
                local answer = {{}}
                for i, shares in ipairs({{{shares}}}) do
                    local parts = {{}}
                    for j, share in ipairs(shares) do
                        parts[j] = {{ c = tostring(j), u = "u", t = "t", s = share }}
                    end
                    local made, counts, differ = split.build({{ parts = parts }}), {{}}, 0
                    for j = 1, tonumber(var.arg_n) do
                        local key = "key-" .. j .. "-" .. ngx.md5(tostring(j))
                        var.key = key
                        local theirs, ours = var["split_" .. i], split.draw(made, key).c
                        differ = differ + (theirs == ours and 0 or 1)
                        counts[ours] = (counts[ours] or 0) + 1
                    end
                    answer[i] = {{ differ = differ, counts = counts }}
                end
                ngx.print(require("cjson.safe").encode(answer))
            }}
        }}
    }}
}}
"""


def _block(number: int, shares: tuple[int, ...]) -> str:
    rows = [f"{share // 100}.{share % 100:02}% {i};" for i, share in enumerate(shares[:-1], 1)]
    return f'split_clients "$key" $split_{number} {{ {" ".join(rows)} * {len(shares)}; }}'


@pytest.fixture
def compared(nginx_binary: Path, tmp_path: Path) -> Iterator[Any]:
    """A function that compares the two over so many keys."""
    folder, port = modules(), free_port()
    usr = folder.parents[2]
    config = tmp_path / "nginx.conf"
    places = {"modules": folder, "lua": LUA, "share": usr / "share", "lib": usr / "lib", "folder": tmp_path}
    splits = "\n    ".join(_block(i, shares) for i, shares in enumerate(VECTORS, 1))
    shares = ", ".join(f"{{{', '.join(map(str, item))}}}" for item in VECTORS)
    config.write_text(CONFIG.format(**places, port=port, splits=splits, shares=shares))
    argv = [str(nginx_binary), "-p", str(tmp_path), "-c", str(config), "-e", "stderr"]
    argv += ["-g", "user root root;"] if os.geteuid() == 0 else []  # or its worker can't read what Lua needs

    def compare(number: int) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{port}/?n={number}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(200):
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        with opener.open(url, timeout=300) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found

    with subprocess.Popen(argv) as process:
        yield compare
        process.terminate()


def test_key_by_key(compared: Any) -> None:
    """No key of 10,000 has another cluster, whatever the shares."""
    assert [item["differ"] for item in compared(10_000)] == [0] * len(VECTORS)


@pytest.mark.long
def test_a_million_keys(compared: Any) -> None:
    """No key of a million has another cluster, and shares are within 0.1 point of the weights."""
    for shares, found in zip(VECTORS, compared(1_000_000), strict=True):
        assert found["differ"] == 0
        for i, share in enumerate(shares, 1):
            assert abs(found["counts"].get(str(i), 0) / 10_000 - share / 100) <= 0.1
