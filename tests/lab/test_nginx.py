"""The image's nginx on the host."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from gateway_operator.ingress.gate import open_holes
from gateway_operator.ingress.probes import package_version
from lab.debian import SOURCES, SUITE
from lab.nginx import modules, nginx, package_list

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


def test_no_known_hole_is_in_it():
    """The gate lets the image's nginx pass by its package's revision; else `lab.debian.AS_OF` is too old."""
    done = subprocess.run([nginx(), "-v"], capture_output=True, text=True, check=True)
    version = done.stderr.strip().partition("nginx/")[2]
    package = package_version(version, package_list())
    assert package.startswith(version), f"no package of nginx {version} in {package_list()}"
    assert open_holes(tuple(int(part) for part in version.split(".")), package) == ()


@pytest.mark.skipif("GATEWAY_LAB_NGINX" in os.environ, reason="another nginx was chosen")
def test_security_updates_are_among_its_sources():
    """The root file systems, and the image with them, get their packages from Debian's security suite, too."""
    root = package_list().parents[3]
    assert (root / "etc/apt/sources.list").read_text() == SOURCES
    lists = [file.name for file in (root / "var/lib/apt/lists").glob("*_InRelease")]
    assert any(f"{SUITE}-security" in name for name in lists), lists
