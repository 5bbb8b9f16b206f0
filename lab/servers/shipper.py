"""Ships the logs of containers into Elasticsearch as KubeSphere's pipeline stores them, by Debian's rsyslog.

It follows the files that a kubelet keeps (`NAMESPACE_POD_UID/CONTAINER/RESTARTS.log`, in the CRI's format) and waits
while Elasticsearch is away. rsyslog comes from a root file system of the image's release.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from lab.debian import derived_root
from lab.process import Daemons
from lab.servers.elasticsearch import SHIPPER, Elasticsearch

NAME = "rsyslog"
INDEX = "ks-logstash-log"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_DAY = "".join(
    f'constant(value="{before}") property(name="timegenerated" dateFormat="{part}" date.inUTC="on") '
    for before, part in (("-", "year"), (".", "month"), (".", "day"))
)
_CONFIG = """\
global(workDirectory="{folder}/spool" maxMessageSize="64k" net.enableDNS="off")
module(load="imfile" mode="inotify")
module(load="omelasticsearch")
template(name="index" type="list") {{ constant(value="{index}") {day}}}
template(name="document" type="list") {{
  constant(value="{{\\"time\\":\\"") property(name="$.time" format="json")
  constant(value="\\",\\"log\\":\\"") property(name="$.log" format="json")
  constant(value="\\",\\"kubernetes\\":") property(name="$!kubernetes") constant(value="}}")
}}
ruleset(name="ship") {{
  set $.pod = re_extract($!metadata!filename, "([^/]+)/[^/]+/[0-9]+\\\\.log\\$", 0, 1, "");
  set $.container = re_extract($!metadata!filename, "([^/]+)/[0-9]+\\\\.log\\$", 0, 1, "");
  set $!kubernetes!namespace_name = field($.pod, 95, 1);
  set $!kubernetes!pod_name = field($.pod, 95, 2);
  set $!kubernetes!container_name = $.container;
  # which run of which container it is; its runtime's id isn't in the path
  set $!kubernetes!docker_id = re_extract($!metadata!filename, "_([^_]+/[^/]+/[0-9]+)\\\\.log\\$", 0, 1, "");
  set $.time = field($msg, 32, 1);
  set $.log = re_extract($msg, "^[^ ]+ [^ ]+ [FP] (.*)\\$", 0, 1, "");
  action(type="omelasticsearch" server="{host}" serverport="{port}" usehttps="on" tls.cacert="{ca}"
         uid="{user}" pwd="{password}" esVersion.major="8" template="document" searchIndex="index" dynSearchIndex="on"
         searchType="" bulkmode="on" maxbytes="5m" errorFile="{folder}/errors.json" queue.type="LinkedList"
         queue.dequeueBatchSize="500" queue.size="50000" action.resumeRetryCount="-1" action.resumeInterval="2")
}}
{inputs}
"""
_INPUT = 'input(type="imfile" file="{file}" tag="ks" addMetadata="on" ruleset="ship" freshStartTail="off")'


class Shipper:
    """One rsyslog that follows the logs below some folders."""

    def __init__(self, folder: Path, daemons: Daemons) -> None:
        """Describe one; use `start`."""
        self.folder = folder
        self._daemons = daemons

    @classmethod
    def start(
        cls, folder: Path, elasticsearch: Elasticsearch, logs: Sequence[Path], *, index: str = INDEX, tied: bool = True
    ) -> Self:
        """Follow the pods' logs below the folders `logs`; lines go to the indices `INDEX-YYYY.MM.DD`.

        One that runs already goes on, unless it ships elsewhere.
        """
        (folder / "spool").mkdir(parents=True, exist_ok=True)
        shipper = cls(folder, Daemons(folder, tied=tied))
        config = folder / "rsyslog.conf"
        text = _configuration(folder, elasticsearch, logs, index)
        if not config.exists() or config.read_text() != text:
            shipper.stop()
            config.touch(0o600)
            config.write_text(text)
        _template(elasticsearch, index)
        shipper._daemons.start(NAME, [*_command(), "-n", "-f", config, "-i", folder / "rsyslogd.pid"])
        return shipper

    def stop(self) -> None:
        """End it; what it has shipped is remembered."""
        self._daemons.stop(NAME)

    @property
    def problems(self) -> str:
        """What rsyslog and Elasticsearch said against it."""
        errors = self.folder / "errors.json"
        return self._daemons.tail(NAME) + (errors.read_text()[-2000:] if errors.exists() else "")


def _configuration(folder: Path, elasticsearch: Elasticsearch, logs: Sequence[Path], index: str) -> str:
    return _CONFIG.format(
        folder=folder,
        index=index,
        day=_DAY,
        host=elasticsearch.host,
        port=elasticsearch.port,
        ca=elasticsearch.ca_file,
        user=SHIPPER,
        password=elasticsearch.password,
        inputs="\n".join(_INPUT.format(file=f"{one}/*/*/*.log") for one in logs),
    )


def _command() -> list[str]:
    root = derived_root("rsyslog", ["rsyslog", "rsyslog-elasticsearch"])
    loader = f"{root}/usr/lib64/ld-linux-x86-64.so.2"
    libraries = f"{root}/{_LIBRARIES}"
    return [loader, "--library-path", libraries, f"{root}/usr/sbin/rsyslogd", "-M", f"{libraries}/rsyslog"]


def _template(elasticsearch: Elasticsearch, index: str) -> None:
    """Let new indices be whole with one node, and found soon."""
    settings = {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "1s"}
    body = {"index_patterns": [f"{index}-*"], "template": {"settings": settings}}
    elasticsearch.call("PUT", f"/_index_template/{index}", body)
