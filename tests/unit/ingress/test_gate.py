"""The table of nginx's known holes against versions and package revisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_operator.ingress.gate import HOLES, open_holes, problem_of
from gateway_operator.ingress.probes import package_version
from gateway_operator.ingress.problems import Ref

ALL = {hole.name for hole in HOLES}


@pytest.mark.parametrize(
    ("version", "package", "expected"),
    [
        ((1, 31, 3), "", set()),
        ((1, 30, 4), "", set()),
        ((1, 32, 0), "", set()),
        ((1, 30, 3), "", {"CVE-2026-42533"}),
        ((1, 31, 1), "", {"CVE-2026-42533", "CVE-2026-42055"}),
        ((1, 30, 0), "", {"CVE-2026-42533", "CVE-2026-9256", "CVE-2026-42945", "CVE-2026-42055"}),
        ((1, 27, 1), "", ALL),
        ((1, 26, 3), "", ALL - {"CVE-2025-23419"}),
        ((1, 26, 3), "1.26.3-3+deb13u7", {"CVE-2026-42533"}),
        ((1, 26, 3), "1.26.3-3+deb13u5", {"CVE-2026-42533", "CVE-2026-9256", "CVE-2026-42055"}),
        ((1, 26, 3), "1.26.3-3", ALL - {"CVE-2025-23419"}),
        ((1, 22, 1), "1.22.1-9+deb12u10", set()),
        ((1, 22, 1), "1.22.1-9+deb12u3", ALL - {"CVE-2025-23419"}),
        ((0,), "", set()),
    ],
)
def test_versions(version: tuple[int, ...], package: str, expected: set[str]) -> None:
    """nginx's own number decides, and the revision of a distribution that mends old versions."""
    assert {hole.name for hole in open_holes(version, package)} == expected


def test_the_gateway_is_told() -> None:
    """The problem names each hole and what it concerns."""
    problem = problem_of(Ref("ConfigMap", "gw", "config", "", "v1"), open_holes((1, 30, 3)))
    assert problem.reason == "NginxKnownHoles"
    assert "CVE-2026-42533" in problem.message


def test_the_packages_revision(tmp_path: Path) -> None:
    """It is read from dpkg's list, and only for the nginx that runs."""
    status = tmp_path / "status"
    status.write_text(
        "Package: nginx-common\nStatus: install ok installed\nVersion: 1.26.3-3+deb13u9\n\n"
        "Package: nginx-core\nStatus: deinstall ok config-files\nVersion: 1.26.3-3+deb13u8\n\n"
        "Package: nginx-light\nStatus: install ok installed\nDescription: a: b\n c: d\nVersion: 1.26.3-3+deb13u7\n"
    )
    assert package_version("1.26.3", status) == "1.26.3-3+deb13u7"
    assert package_version("1.30.1", status) == ""
    assert package_version("1.26.3", tmp_path / "none") == ""
