"""What the image gets is the wheel: it must hold what the package reads at run time, not only its Python files."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import gateway_operator

PACKAGE = Path(gateway_operator.__file__).parent


def test_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    """Lua, templates and the marker of types are in it, wherever they lie in the package."""
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, PACKAGE.parent], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = [file for file in PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    data = [file for file in files if file.suffix != ".py"]
    assert {file.suffix for file in data} >= {".lua", ".j2", ".typed"}
    assert {file.relative_to(PACKAGE.parent).as_posix() for file in data} <= packed
