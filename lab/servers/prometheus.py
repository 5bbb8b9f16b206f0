"""A real Prometheus on a free port, for tests, benchmarks and the demo: what we ask must be right where it is asked.

The program is Debian's, from a root file system of the image's release as `lab.nginx` has it; `GATEWAY_LAB_PROMETHEUS`
names another. Its pages need files that lie elsewhere then and `/` answers 500; the API is whole.
"""

import json
import os
import shutil
import struct
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lab.debian import derived_root
from lab.process import Daemons, wait_for
from lab.servers.place import BESIDE, Place

NAME = "prometheus"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
KEPT_FOR = "30d"
BATCH = 500  # series in one request

CONFIG = """\
global:
  scrape_interval: {interval}
  scrape_timeout: {interval}
storage:
  tsdb:
    out_of_order_time_window: {kept}
scrape_configs:
  - job_name: exported
    file_sd_configs: [{{files: ["{folder}/exported-*.json"], refresh_interval: 1s}}]
  - job_name: honoured
    honor_labels: true
    file_sd_configs: [{{files: ["{folder}/honoured-*.json"], refresh_interval: 1s}}]
"""
# as the Prometheus operator writes it for the gateways' ServiceMonitors
DISCOVERED = """\
  - job_name: gateways
    kubernetes_sd_configs:
      - {{role: endpointslice, kubeconfig_file: "{kubeconfig}", namespaces: {{names: ["{namespace}"]}}}}
    relabel_configs:
      - source_labels:
          - __meta_kubernetes_service_label_app_kubernetes_io_component
          - __meta_kubernetes_endpointslice_port_name
        regex: controller;metrics
        action: keep
      - {{source_labels: [__meta_kubernetes_service_name], target_label: job}}
      - {{source_labels: [__meta_kubernetes_service_name], target_label: service}}
      - {{source_labels: [__meta_kubernetes_namespace], target_label: namespace}}
      - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}
      - {{source_labels: [__meta_kubernetes_endpointslice_port_name], target_label: endpoint}}
"""


@dataclass(frozen=True)
class Written:
    """One series to write: its labels with `__name__`, and samples of (unix seconds, value)."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]


def command(name: str = "prometheus") -> list[str]:
    """How to run Debian's `prometheus` or `promtool` on this machine."""
    chosen = os.environ.get("GATEWAY_LAB_PROMETHEUS")
    if chosen:
        return [str(Path(chosen).with_name(name))]
    root = derived_root("prometheus", ["prometheus"])
    loader = f"{root}/usr/lib64/ld-linux-x86-64.so.2"
    return [loader, "--library-path", f"{root}/{LIBRARIES}", f"{root}/usr/bin/{name}"]


@dataclass(frozen=True)
class Gateways:
    """The gateways of a namespace, whose metrics Services are found through the API server."""

    kubeconfig: Path
    namespace: str


class Prometheus:
    """One server; its data lie in its folder and end with it."""

    def __init__(self, folder: Path, url: str, daemons: Daemons) -> None:
        """Wrap a server; use `start` to get one that runs."""
        self.folder = folder
        self.url = url
        self.daemons = daemons

    @classmethod
    def start(
        cls, folder: Path, place: Place = BESIDE, *, interval: str = "1s", gateways: Gateways | None = None
    ) -> Self:
        """Start with empty data; returns when it answers queries.

        Each `interval` it scrapes what `scrape` names, and the `gateways` that there are.
        """
        argv = command()
        daemons = Daemons(folder, tied=place.tied, prefix=place.enter)
        daemons.stop_all(kill=True)
        (port,) = place.ports(9090)
        config = _configure(folder, interval, gateways)
        server = cls(folder, f"http://{place.host}:{port}", daemons)
        server.daemons.start(
            NAME,
            [
                *argv,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--storage.tsdb.retention.time={KEPT_FOR}",
                f"--web.listen-address={place.host}:{port}",
                "--web.enable-remote-write-receiver",
                "--log.level=warn",
            ],
            {"GOMAXPROCS": "2"},
        )
        try:
            wait_for("Prometheus", server.ready, seconds=60, blame=lambda: server.daemons.tail(NAME))
        except BaseException:
            server.stop()
            raise
        (folder / "url").write_text(server.url)
        return server

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The server that runs in `folder`, started by whichever process."""
        daemons = Daemons(folder)
        try:
            found = cls(folder, (folder / "url").read_text(), daemons)
        except OSError:
            return None
        return found if daemons.alive(NAME) and found.ready() else None

    def ready(self) -> bool:
        """Whether it answers queries."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)  # noqa: PLR2004
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        """End it; its folder stays."""
        self.daemons.stop_all(kill=True)

    def scrape(self, name: str, address: str, labels: Mapping[str, str], *, honour: bool = False) -> None:
        """Scrape `address` (host:port) from now on; `labels` are the target's, as service discovery gives them.

        With `honour` the exposition's own labels win, else they become `exported_...`.
        """
        kind = "honoured" if honour else "exported"
        file = self.folder / "targets" / f"{kind}-{name}.json"
        aside = file.with_suffix(".new")
        aside.write_text(json.dumps([{"targets": [address], "labels": dict(labels)}]))
        aside.replace(file)

    def write(self, series: Iterable[Written]) -> None:
        """Write series with samples of any time within the last month."""
        waiting = list(series)
        for first in range(0, len(waiting), BATCH):
            body = b"".join(_field(1, _series(one)) for one in waiting[first : first + BATCH])
            headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
            request = urllib.request.Request(f"{self.url}/api/v1/write", _snappy(body), headers)  # noqa: S310
            urllib.request.urlopen(request, timeout=60).close()  # noqa: S310

    def query(self, text: str, at: float) -> list[dict[str, Any]]:
        """Return what an expression gives at a moment."""
        form = urllib.parse.urlencode({"query": text, "time": f"{at:.3f}"}).encode()
        with urllib.request.urlopen(f"{self.url}/api/v1/query", form, timeout=60) as answer:  # noqa: S310
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return found


def _configure(folder: Path, interval: str, gateways: Gateways | None) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    targets = folder / "targets"
    targets.mkdir(parents=True)
    text = CONFIG.format(interval=interval, kept=KEPT_FOR, folder=targets)
    if gateways:
        text += DISCOVERED.format(kubeconfig=gateways.kubeconfig, namespace=gateways.namespace)
    config = folder / "prometheus.yml"
    config.write_text(text)
    return config


def _series(one: Written) -> bytes:
    """A series as remote write has it: protobuf's TimeSeries."""
    labels = (_field(1, _field(1, name.encode()) + _field(2, one.labels[name].encode())) for name in sorted(one.labels))
    samples = (
        _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _number(round(at * 1000))) for at, value in one.samples
    )
    return b"".join([*labels, *samples])


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _number(len(content)) + content


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _snappy(content: bytes) -> bytes:
    """Snappy's format with nothing compressed: all literals, of at most 64 KiB each."""
    found = bytearray(_number(len(content)))
    for first in range(0, len(content), 65536):
        literal = content[first : first + 65536]
        found += bytes([61 << 2]) + struct.pack("<H", len(literal) - 1) + literal
    return bytes(found)
