"""The product as in the image: its modules on the message path compiled to C."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from tests.drills.cluster import ROOT

_WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]

MODULES: tuple[str, ...] = tuple(name.removeprefix("/") for name in _WHEEL["hooks"]["mypyc"]["include"])
"""The modules that are compiled, as files of the checkout."""

WANTED = "DRAGOMAN_TEST_COMPILED" in os.environ
"""It needs gcc, Python's headers, and minutes."""


def compiled(directory: Path) -> Path:
    """Builds the packages in `directory`. From a copy, because the build moves the project file aside for a while."""
    source, wheels, packages = directory / "source", directory / "wheels", directory / "packages"
    for name in _WHEEL["packages"]:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation",
        "--wheel-dir", str(wheels), str(source),
    ]  # fmt: skip
    build = subprocess.run(
        command, env=os.environ | {"HATCH_BUILD_HOOK_ENABLE_MYPYC": "true"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert build.returncode == 0, build.stdout[-8000:]
    (wheel,) = wheels.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(packages)
    return packages
