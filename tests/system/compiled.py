"""The product as in the image: the modules on the message path are compiled to C."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from deploy.compiled import build_packages, copy_sources
from tests.support.cluster import UP
from tests.support.commands import ROOT

_WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]

MODULES: tuple[str, ...] = tuple(
    file[1:].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for file in _WHEEL["hooks"]["mypyc"]["include"]
)
"""The names of the compiled modules, as they are imported."""

WANTED = "DRAGOMAN_TEST_COMPILED" in os.environ
"""Whether the tests use a compiled build. The compilation needs gcc, the headers of Python, and minutes."""


def compiled(directory: Path) -> Path:
    """Builds the packages in `directory`."""
    try:
        return build_packages(copy_sources(directory))
    except subprocess.CalledProcessError as error:
        raise AssertionError(error.output[-8000:]) from error


def from_(packages: Path) -> tuple[str, ...]:
    """Returns the command that starts the product from exactly this directory."""
    if packages == ROOT:
        return UP  # a fork, which takes a quarter of the CPU time
    return ("env", f"PYTHONPATH={packages}", sys.executable, "-P", "-m", "dragoman.main", "up")
