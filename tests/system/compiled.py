"""The product as in the image: its modules on the message path compiled to C."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from deploy.compiled import build_packages, copy_sources
from tests.support.commands import ROOT

_WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]

MODULES: tuple[str, ...] = tuple(
    file[1:].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for file in _WHEEL["hooks"]["mypyc"]["include"]
)
"""The modules that are compiled, as they are imported."""

WANTED = "DRAGOMAN_TEST_COMPILED" in os.environ
"""The compilation needs gcc, Python's headers, and minutes."""


def compiled(directory: Path) -> Path:
    """Builds the packages in `directory`."""
    try:
        return build_packages(copy_sources(directory))
    except subprocess.CalledProcessError as error:
        raise AssertionError(error.output[-8000:]) from error


def from_(packages: Path) -> tuple[str, ...]:
    """Starts the product of exactly this directory."""
    return ("env", f"PYTHONPATH={packages}", sys.executable, "-P", "-m", "dragoman.main", "up")
