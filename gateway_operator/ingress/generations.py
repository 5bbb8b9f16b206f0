"""The folder that controller and nginx share: one folder for each generation, and links to what serves.

A generation is one folder right below ours with a fixed form of name; nothing else is ever opened.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from gateway_operator.ingress.control_socket import Refused

GENERATION = re.compile(r"gen-[0-9a-f]{16,64}")
BUILTIN = "builtin"
DATA_SOCKET = "data.sock"

# Before the first config: no port for clients is open, so load balancers see "not yet" and nobody gets a wrong answer.
BUILTIN_CONFIG = """\
daemon off;
pid nginx.pid;
error_log stderr notice;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path client-body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        location = /configuration-version {{ return 200 "builtin"; }}
        location = /healthz {{ return 503; }}
        location / {{ return 404; }}
    }}
}}
"""


class Generations:
    """The generations below one folder."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def prepare(self, port: int) -> None:
        """Write the built-in configuration, whose workers answer the probe on `port`."""
        builtin = self._run_dir / BUILTIN
        builtin.mkdir(parents=True, exist_ok=True)
        (builtin / "nginx.conf").write_text(BUILTIN_CONFIG.format(port=port))

    def checked(self, name: Any) -> str:
        """Return the name of a generation that is there; Refused for anything else."""
        if not isinstance(name, str) or not GENERATION.fullmatch(name):
            raise Refused("command", "a generation is named gen-<hexadecimal digits>")
        folder = self._run_dir / name
        if folder.is_symlink() or not folder.is_dir():
            raise Refused("command", f"there is no generation {name}")
        return name

    def config(self, name: str) -> str:
        """Return the path of nginx.conf in a generation, or behind a link."""
        return str(self._run_dir / name / "nginx.conf")

    def stored(self) -> list[str]:
        """Return what nginx may start with, the best first: what was current, what worked last."""
        found = [self.target(link) for link in ("current", "last-good")]
        return [name for name in dict.fromkeys(found) if name is not None and GENERATION.fullmatch(name)]

    def target(self, link: str) -> str | None:
        """Return the generation that a link names; None when there is none."""
        try:
            return (self._run_dir / link).readlink().name
        except OSError:
            return None

    def point(self, link: str, name: str) -> None:
        """Swap a link in one step: there is no moment without it."""
        aside = self._run_dir / f".{link}.new"
        aside.unlink(missing_ok=True)
        aside.symlink_to(name)
        aside.replace(self._run_dir / link)

    def has_socket(self) -> bool:
        """Tell whether the data socket's file is there."""
        return (self._run_dir / DATA_SOCKET).exists()

    def limit_socket(self) -> None:
        """Keep the data socket to user and group: nginx lets everybody use the sockets that it makes."""
        with contextlib.suppress(FileNotFoundError):  # a static configuration has none
            (self._run_dir / DATA_SOCKET).chmod(0o660)

    def remove_socket(self) -> None:
        """Remove the data socket's file: nginx can't listen where one lies."""
        (self._run_dir / DATA_SOCKET).unlink(missing_ok=True)
