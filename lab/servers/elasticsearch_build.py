"""The server's program, which nobody else builds for us: Elastic's build for tests, Java for it, and a few words more.

That build has Elasticsearch's security, but not the analysis that its index of API keys asks for. A plugin for
Elasticsearch's stable plugin interface adds it (`analysis/Words.java`); one build of it runs in all versions.
"""

import hashlib
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

from lab.debian import require
from lab.errors import LabError
from lab.java import java
from lab.paths import cache, locked, say

EIGHT, NINE = "8.19.21", "9.1.0"
JAVA = {EIGHT: 17, NINE: 21}
_SERVER = "org.elasticsearch.distribution.integ-test-zip:elasticsearch:{}:zip"
_COMPILER, _COMPILER_JAR = "org.eclipse.jdt:ecj:3.38.0", "ecj-3.38.0.jar"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_PROGRAMS = {"mvn": "maven", "unzip": "unzip"}
_SOURCE = Path(__file__).parent / "analysis" / "Words.java"
_PLUGIN = "lab-words"
_DESCRIPTION = """\
name={name}
description=analysis that the index of API keys asks for
version=1
elasticsearch.version={version}
java.version=17
"""
_FILTERS = {"pattern_capture": "lab.Words$Parts", "unique": "lab.Words$Once"}
_COMPONENTS = {
    "org.elasticsearch.plugin.analysis.TokenizerFactory": {"uax_url_email": "lab.Words$Addresses"},
    "org.elasticsearch.plugin.analysis.TokenFilterFactory": _FILTERS,
}
DIGEST = hashlib.sha256(repr((_SOURCE.read_text(), _DESCRIPTION, _COMPONENTS)).encode()).hexdigest()[:8]


def home(version: str) -> Path:
    """The unpacked server, downloaded on first use; a change of the plugin makes another one."""
    folder = cache() / "servers" / f"elasticsearch-{version}-{DIGEST}"
    if folder.exists():
        return folder
    require(_PROGRAMS)
    with locked(folder.name):
        if not folder.exists():
            say(f"downloading Elasticsearch {version} from Maven Central (about 100 MB) ...")
            _build(folder, version)
    return folder


def _build(folder: Path, version: str) -> None:
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for artifact in (_SERVER.format(version), _COMPILER):
        _call(["mvn", "-q", "-B", _COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={aside}"], aside)
    _call(["unzip", "-q", str(aside / f"elasticsearch-{version}.zip")], aside)
    server = aside / f"elasticsearch-{version}"
    _add_plugin(server, version, aside)
    server.rename(folder)
    shutil.rmtree(aside)


def _add_plugin(server: Path, version: str, aside: Path) -> None:
    libraries = ":".join(str(one) for one in sorted((server / "lib").glob("*.jar")))
    compiler = [str(java(JAVA[EIGHT]) / "bin" / "java"), "-jar", str(aside / _COMPILER_JAR)]
    _call([*compiler, "-17", "-cp", libraries, "-d", "classes", str(_SOURCE)], aside)
    plugin = server / "plugins" / _PLUGIN
    plugin.mkdir()
    with zipfile.ZipFile(plugin / f"{_PLUGIN}.jar", "w") as jar:
        for one in sorted((aside / "classes").rglob("*.class")):
            jar.write(one, str(one.relative_to(aside / "classes")))
    (plugin / "named_components.json").write_text(json.dumps(_COMPONENTS))
    (plugin / "stable-plugin-descriptor.properties").write_text(_DESCRIPTION.format(name=_PLUGIN, version=version))


def _call(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"`{' '.join(command)}` failed:\n{(done.stdout + done.stderr)[-3000:]}")
