"""A TCP proxy before the API server, since a network that fails can't be had from the API server itself."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

from lab.apiserver import ApiCluster


class Proxy:
    """Passes bytes on, until told to cut."""

    def __init__(self, cluster: ApiCluster, folder: Path) -> None:
        target = urlsplit(cluster.url)
        self._target = (str(target.hostname), int(target.port or 443))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[socket.socket] = []
        self._lock = threading.Lock()
        config = json.loads(cluster.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.kubeconfig = folder / "proxy.kubeconfig"
        self.kubeconfig.write_text(json.dumps(config))
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> int:
        """Break every connection that is open now; returns how many."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for end in pairs:
            _shut(end)
        return len(pairs) // 2

    def close(self) -> None:
        """Stop, and break what is open."""
        _shut(self._listener)
        self.cut()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    _shut(client)
                    continue
                with self._lock:
                    self._pairs += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _shut(source)
    _shut(sink)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
