"""How exactly do a million keys follow the weights, and do both renderers send each of them to the same cluster?

One nginx answers, for each key, with the parts that its own `split_clients` and our Lua module chose; the thresholds
are those that the renderers write.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.multicluster.setup import Setup
from bench.parts import tell
from bench.results import Part, row
from gateway_operator import ingress
from gateway_operator.traffic.shares import largest_remainder, percent
from lab.errors import LabError
from lab.nginx import modules, nginx
from lab.process import Daemons

_KEYS, _FEW = 1_000_000, 20_000
_BATCH = 1000
_MARK = 0.1  # percentage points
_VECTORS: tuple[tuple[int, ...], ...] = ((80, 20), (70, 20, 10), (99, 1), (1, 1, 1))
_LETTERS = "abc"
_LUA = Path(ingress.__file__).parent / "lua"
_CONF = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
events {{ worker_connections 64; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    lua_package_path "{lua}/?.lua;{share}/lua/5.1/?.lua;{share}/luajit-2.1/?.lua;;";
    lua_shared_dict gateway 1m;
    init_by_lua_block {{
        package.loaded.config = {{}}
        local split = require "split"
        drawn = {{ {entries} }}
        for i, entry in ipairs(drawn) do
            local one = split.build(entry)
            drawn[i] = function(key) return split.draw(one, key).c end
        end
    }}
{splits}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            set_by_lua_block $lua {{
                local found = {{}}
                for i = 1, #drawn do found[i] = drawn[i](ngx.var.arg_k) end
                return table.concat(found)
            }}
            return 200 "={native}=$lua=\\n";
        }}
    }}
}}
"""


async def measure(setup: Setup) -> Part:
    """Ask for every key, and count."""
    folder = setup.folder / "accuracy"
    await asyncio.to_thread(folder.mkdir)
    port = setup.ports.take()
    daemons = Daemons(folder, tied=True)
    conf = folder / "nginx.conf"
    await asyncio.to_thread(conf.write_text, _conf(folder, port), encoding="utf-8")
    daemons.start("nginx", [nginx(), "-e", "stderr", "-c", conf])
    total = setup.pick(_KEYS, _FEW)
    try:
        chosen, different = await _ask(port, total, daemons)
    finally:
        await asyncio.to_thread(daemons.stop_all)
    rows = [
        row(f"weights {':'.join(map(str, weights))}, a million keys: farthest from its share", "points",
            _farthest(weights, place, chosen), mark=_MARK)
        for place, weights in enumerate(_VECTORS)
    ]  # fmt: skip
    rows.append(row("keys that Lua and `split_clients` send to different clusters", "", different, mark=0))
    tell(f"{total} keys, {different} differ")
    return Part(tuple(rows), {"keys": total})


def keys(total: int) -> Iterator[str]:
    """Yield the corpus: as many texts that look like request ids, the same in every run."""
    return (hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest() for n in range(total))


async def _ask(port: int, total: int, daemons: Daemons) -> tuple[Counter[str], int]:
    """Return how often each combination of choices came, and how many keys were judged differently."""
    reader, writer = await _connect(port, daemons)
    chosen: Counter[str] = Counter()
    different = 0
    corpus = keys(total)
    while batch := list(itertools.islice(corpus, _BATCH)):
        writer.write(b"".join(b"GET /?k=%s HTTP/1.1\r\nHost: b\r\n\r\n" % key.encode() for key in batch))
        for _ in batch:
            await reader.readuntil(b"\r\n\r\n")
            native, lua = (await reader.readuntil(b"\n")).decode().strip("=\n").split("=")
            chosen[native] += 1
            different += native != lua
    writer.close()
    return chosen, different


async def _connect(port: int, daemons: Daemons) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(100):
        with contextlib.suppress(OSError):
            return await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.1)
    raise LabError(f"nginx doesn't answer:\n{daemons.tail('nginx')}")


def _farthest(weights: Sequence[int], place: int, chosen: Counter[str]) -> float:
    """Return the distance of that cluster's share which is farthest from its weight, in percentage points."""
    got: Counter[str] = Counter()
    for letters, count in chosen.items():
        got[letters[place]] += count
    total, whole = got.total(), sum(weights)
    return max(abs(got[letter] / total - w / whole) * 100 for letter, w in zip(_LETTERS, weights, strict=False))


def _conf(folder: Path, port: int) -> str:
    splits, entries, names = [], [], []
    for place, weights in enumerate(_VECTORS):
        shares = largest_remainder(dict(zip(_LETTERS, weights, strict=False)))
        rows = [f"        {percent(share)} {letter};" for letter, share in shares.items()]
        rows[-1] = f"        * {list(shares)[-1]};"
        splits.append("\n".join([f"    split_clients $arg_k $v{place} {{", *rows, "    }"]))
        parts = ", ".join(
            f'{{ c = "{letter}", t = "{letter}", s = {share}, u = "u" }}' for letter, share in shares.items()
        )
        entries.append(f"{{ parts = {{ {parts} }} }}")
        names.append(f"$v{place}")
    places = {
        "folder": folder,
        "port": port,
        "modules": modules(),
        "lua": _LUA,
        "share": modules().parents[2] / "share",
    }
    return _CONF.format(**places, entries=", ".join(entries), splits="\n".join(splits), native="".join(names))
