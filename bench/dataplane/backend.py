"""The pods: one nginx that answers with a short line on every address, far faster than a gateway can ask.

What the addresses of new pods get is written down with the time, a line for each request.
"""

from __future__ import annotations

from pathlib import Path

from bench.dataplane.sites import PORT
from lab.nginx import nginx
from lab.process import Daemons

LINE = "a short line\n"
_CONF = """\
daemon off;
pid {folder}/master;
error_log {folder}/error.log;
worker_processes 1;
worker_rlimit_nofile 100000;
events {{ worker_connections 60000; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type text/plain;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    map $server_addr $new {{ default 0; "~^198\\.19\\." 1; }}
    log_format new "$msec $server_addr";
    access_log {folder}/new.log new if=$new;
    server {{
        listen {port} backlog=4096;
        location / {{ return 200 '{line}'; }}
    }}
}}
"""


class Backend:
    """A running backend, its files in one folder."""

    def __init__(self, folder: Path, line: str = LINE) -> None:
        self._folder = folder
        self._line = line
        self._daemons = Daemons(folder, tied=True)
        self._read = 0
        self._seen: dict[str, float] = {}

    def start(self) -> None:
        """Start it."""
        self._folder.mkdir(parents=True)
        conf = self._folder / "nginx.conf"
        line = self._line.replace("\n", "\\n")
        conf.write_text(_CONF.format(folder=self._folder, port=PORT, line=line), encoding="utf-8")
        self._daemons.start("backend", [nginx(), "-e", "stderr", "-c", conf])

    def stop(self) -> None:
        """End it."""
        self._daemons.stop_all()

    def first_request(self, address: str) -> float | None:
        """Return when a new pod got its first request (seconds since 1970, by milliseconds); None: not yet."""
        with (self._folder / "new.log").open(encoding="ascii") as log:
            log.seek(self._read)
            for line in iter(log.readline, ""):
                if not line.endswith("\n"):
                    break
                self._read += len(line)
                at, where = line.split()
                self._seen.setdefault(where, float(at))
        return self._seen.get(address)
