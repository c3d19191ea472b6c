"""Builds the product's packages for a checkout, with the most used modules compiled to C. This module uses only the
standard library.

`./dev up` starts `python -m deploy.compiled` in the background, and uses the result from the next start on.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from deploy.environment import ROOT, VENV, start_module

CACHE = VENV / "compiled"
LOG = CACHE / "build.log"
C_FLAGS = ("-DNDEBUG", "-fwrapv", "-w", "-fvisibility=hidden")
"""They replace the flags with which Python was built, so the first two are repeated: without them, Python's headers
check assertions, and integers may not wrap. With warnings enabled, gcc would take minutes to compute column numbers in
mypyc's long lines. With all functions visible, the library would have a table of symbols, which takes memory in each
process."""
GCC_FLAGS = ("-finline-functions", "-finline-small-functions", "-freorder-blocks-and-partition")
"""The parts of `-O2` that inline functions and move cold code aside. All of `-O2` would take gcc almost twice the time
of `-O1`. Clang does not know these flags."""

_CLIENTS = "clients"
"""A folder whose files are served and never imported. A system with compiled modules serves these files from the
checkout."""
_PROJECT = ("pyproject.toml", "README.md", "LICENSE")
_BUILDS_TO_KEEP = 3
"""The number of earlier builds that are kept, because a running system may use one of them."""
_COMPILER = (sysconfig.get_config_var("CC") or "cc").split()[0]
_NO_GARBAGE = "import atexit, gc; gc.disable(); atexit.register(gc.freeze)\n"
"""Python runs this at the start of the build's processes. The types of the modules stay in memory until mypy ends, and
searching them for garbage would take almost half of mypy's time."""


def find() -> Path | None:
    """The directory of the packages that were compiled from the present sources. None if it does not exist."""
    packages = CACHE / fingerprint(ROOT)
    return packages if packages.is_dir() else None


def can_compile() -> bool:
    """Whether a C compiler and the headers of Python exist, and the cache belongs to this user."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return shutil.which(_COMPILER) is not None and header.exists() and os.access(VENV, os.W_OK)


def copy_sources(directory: Path) -> Path:
    """Copy the sources. The build uses a copy, because it moves the project file to another place for a while."""
    source = directory / "source"
    source.mkdir(parents=True)
    for name in _package_names():
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _PROJECT:
        shutil.copy(ROOT / name, source)
    return source


def build_wheel(source: Path, wheels: Path, *, is_compiled: bool) -> Path:
    """Build the wheel of the sources. It is the only wheel in the directory `wheels`. Raises CalledProcessError with
    the output of the builder."""
    (source / "sitecustomize.py").write_text(_NO_GARBAGE)
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation",
        "--wheel-dir", str(wheels), str(source),
    ]  # fmt: skip
    subprocess.run(
        command,
        env=os.environ
        | {
            "HATCH_BUILD_HOOK_ENABLE_MYPYC": "true" if is_compiled else "false",
            "CFLAGS": " ".join((*C_FLAGS, *(GCC_FLAGS if _COMPILER.endswith("gcc") else ()))),
            "PYTHONPATH": str(source),
        },
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )  # fmt: skip
    (wheel,) = wheels.glob("*.whl")
    return wheel


def build_packages(source: Path) -> Path:
    """Build the compiled packages in a directory next to the sources. Returns this directory. Raises
    CalledProcessError."""
    packages = source.parent / "packages"
    zipfile.ZipFile(build_wheel(source, source.parent / "wheels", is_compiled=True)).extractall(packages)
    return packages


def build() -> None:
    """Build the present sources into the cache, unless another process is doing so. Remove the oldest builds."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="build-", dir=CACHE) as directory:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        source = copy_sources(Path(directory))
        name = fingerprint(source)
        packages = build_packages(source)
        shutil.rmtree(packages / _CLIENTS, ignore_errors=True)
        (packages / _CLIENTS).symlink_to(ROOT / _CLIENTS)
        packages.rename(CACHE / name)
    builds = [path for path in CACHE.iterdir() if path.is_dir()]
    for old in sorted(builds, key=lambda path: path.stat().st_mtime)[:-_BUILDS_TO_KEEP]:
        shutil.rmtree(old, ignore_errors=True)


def fingerprint(root: Path) -> str:
    """A digest of the sources in a directory, and of the version of this Python."""
    digest = hashlib.sha256(sys.implementation.cache_tag.encode())
    for path in (root / "pyproject.toml", *_sources(root)):
        digest.update(f"\0{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def start_build(python: str) -> None:
    """Start a build in the background, at the lowest CPU priority."""
    CACHE.mkdir(parents=True, exist_ok=True)
    start_module("deploy.compiled", python, LOG)


def _sources(root: Path) -> Iterator[Path]:
    for name in sorted({*_package_names()} - {_CLIENTS}):
        yield from sorted(path for path in (root / name).rglob("*.*") if path.suffix != ".pyc" and path.is_file())


def _package_names() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return names


def _use_little_of_the_processor() -> None:
    os.nice(19)
    # Linux divides the CPU among sessions first and then among processes. So the share of this session must be low,
    # too, but not that of a user's shell.
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text("19")


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m deploy.compiled", description=__doc__).parse_args()
    _use_little_of_the_processor()
    try:
        build()
    except subprocess.CalledProcessError as error:
        sys.exit(str(error.output))
