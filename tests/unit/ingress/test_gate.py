"""The table of nginx's known holes against versions and package revisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_operator.ingress.gate import HOLES, Hole, open_holes, problem_of
from gateway_operator.ingress.probes import package_version
from gateway_operator.ingress.problems import Ref

ALL = {hole.name for hole in HOLES}


NEWEST = {"CVE-2026-123007", "CVE-2026-123633", "CVE-2026-118899", "CVE-2026-123640"}
TICKETS, TEXTS = "CVE-2026-97629", "CVE-2026-93479"
AUTUMN = NEWEST | {TICKETS, TEXTS}


@pytest.mark.parametrize(
    ("version", "package", "expected"),
    [
        ((1, 31, 9), "", set()),
        ((1, 30, 7), "", set()),
        ((1, 32, 0), "", set()),
        ((1, 31, 8), "", NEWEST),
        ((1, 30, 6), "", NEWEST),
        ((1, 31, 6), "", AUTUMN),
        ((1, 30, 4), "", AUTUMN),
        ((1, 30, 3), "", AUTUMN | {"CVE-2026-42533"}),
        ((1, 31, 1), "", AUTUMN | {"CVE-2026-42533", "CVE-2026-42055"}),
        ((1, 30, 0), "", ALL - {"CVE-2026-1642", "CVE-2025-23419"}),
        ((1, 27, 1), "", ALL),
        ((1, 26, 3), "", ALL - {"CVE-2025-23419"}),
        ((1, 26, 3), "1.26.3-3+deb13u12", set()),
        ((1, 26, 3), "1.26.3-3+deb13u11", set()),
        ((1, 26, 3), "1.26.3-3+deb13u10", NEWEST),
        ((1, 26, 3), "1.26.3-3+deb13u8", AUTUMN),
        ((1, 26, 3), "1.26.3-3+deb13u7", AUTUMN | {"CVE-2026-42533"}),
        ((1, 26, 3), "1.26.3-3+deb13u5", AUTUMN | {"CVE-2026-42533", "CVE-2026-9256", "CVE-2026-42055"}),
        ((1, 26, 3), "1.26.3-3", ALL - {"CVE-2025-23419"}),
        ((1, 22, 1), "1.22.1-9+deb12u11", set()),
        ((1, 22, 1), "1.22.1-9+deb12u10", AUTUMN - {TICKETS}),
        ((1, 22, 1), "1.22.1-9+deb12u3", ALL - {"CVE-2025-23419", TICKETS}),
        ((0,), "", set()),
    ],
)
def test_versions(version: tuple[int, ...], package: str, expected: set[str]) -> None:
    """nginx's own number decides, and the revision of a distribution that mends old versions."""
    assert {hole.name for hole in open_holes(version, package)} == expected


@pytest.mark.parametrize("hole", HOLES, ids=lambda hole: hole.name)
def test_each_row_closes_with_its_fixes(hole: Hole) -> None:
    """The version before a fix is open, the fix and the next line aren't; so with each distribution's updates."""
    for fixed in hole.fixed:
        assert hole not in open_holes(fixed)
        assert not fixed[2] or hole in open_holes((*fixed[:2], fixed[2] - 1))
    newest = max(hole.fixed)
    assert hole not in open_holes((newest[0], newest[1] + 1, 0))
    before = (hole.since[0], hole.since[1], hole.since[2] - 1)
    assert hole not in open_holes(before)
    for release, update in hole.debian.items():
        assert hole not in open_holes(hole.since, f"1-1+deb{release}u{update}")
        assert hole in open_holes(hole.since, f"1-1+deb{release}u{update - 1}")
        assert hole in open_holes(hole.since, f"1-1+deb{release + 5}u{update}")


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
