"""Builds the packages of a release. These are the server's wheel, the wheel of the clients, and the npm package. The
server's wheel is built in pure Python, and with compiled edges for this platform and Python.

The CI of a publisher runs this module on each platform, with each version of Python. If there is a compiled wheel,
`pip` prefers it.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy import web_client
from deploy.compiled import build_wheel, can_compile, copy_sources
from deploy.environment import ROOT, Trouble


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="./dev wheels", description="Build the packages of a release.", epilog="Example: ./dev wheels --pure"
    )
    parser.add_argument("directory", nargs="?", type=Path, default=Path("dist"), help="default: dist")
    parser.add_argument("--pure", action="store_true", help="no compiled wheel")
    arguments = parser.parse_args()
    if not arguments.pure and not can_compile():
        sys.exit("wheels: there is no C compiler, or no Python.h. Install gcc and Python's headers, or give --pure")
    try:
        web_client.build()
    except Trouble as trouble:
        sys.exit(f"wheels: {trouble}")
    arguments.directory.mkdir(parents=True, exist_ok=True)
    for is_compiled in (False,) if arguments.pure else (False, True):
        _build(arguments.directory, is_compiled=is_compiled)
    _build_client(arguments.directory)
    _pack_client(arguments.directory)


def _build(directory: Path, *, is_compiled: bool) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        _keep(directory, copy_sources(Path(scratch)), is_compiled=is_compiled)


def _build_client(directory: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        shutil.copytree(ROOT / "dragoman_client", source, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "LICENSE", source)
        _keep(directory, source, is_compiled=False)


def _keep(directory: Path, source: Path, *, is_compiled: bool) -> None:
    try:
        wheel = build_wheel(source, source.parent / "wheels", is_compiled=is_compiled)
    except subprocess.CalledProcessError as error:
        sys.exit(str(error.output))
    shutil.copy(wheel, directory)
    sys.stdout.write(f"{directory / wheel.name}\n")


def _pack_client(directory: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        sys.stderr.write("wheels: there is no npm, so the client in JavaScript is not packed. Install npm\n")
        return
    source = ROOT / "clients" / "javascript"
    command = [npm, "pack", "--silent", "--pack-destination", str(directory.absolute()), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    sys.stdout.write(f"{directory / done.stdout.strip()}\n")


if __name__ == "__main__":
    main()
