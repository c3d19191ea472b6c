"""The product as its users install it: the wheel, in an environment with only its dependencies."""

import re
import subprocess
import sys
import sysconfig
import venv
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from deploy.compiled import build_wheel, copy_sources
from deploy.environment import ROOT

_LOCK = ROOT / "deploy" / "image" / "run.lock"


def install(directory: Path) -> Path:
    """Installs the wheel, and returns the directory of the environment's programs.

    The environment imports nothing from the checkout. It needs no package index, because its dependencies are links to
    the packages of the tests' environment.
    """
    environment = directory / "environment"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(environment)
    programs = environment / "bin"
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment), "platbase": str(environment)}))
    for name in re.findall(r"^([\w.-]+)==", _LOCK.read_text(), re.MULTILINE):
        with suppress(PackageNotFoundError):  # packages for another platform or another Python are not installed
            _link(name, packages, programs)
    wheel = build_wheel(copy_sources(directory), directory / "wheels", is_compiled=False)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(programs / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    return programs


def _link(name: str, packages: Path, programs: Path) -> None:
    """Links the packages, modules and programs of a distribution into the environment."""
    for file in distribution(name).files or ():
        source = Path(str(file.locate()))
        if file.parts[0] == "..":
            target = programs / file.name
        else:
            source, target = source.parents[len(file.parts) - 2] if file.parts[1:] else source, packages / file.parts[0]
        if source.name != "__pycache__" and not target.exists():
            target.symlink_to(source.resolve())
