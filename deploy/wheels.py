"""Builds the wheels of a release: the pure one, and one with compiled edges for this platform and Python.

A publisher's CI runs it on each platform, with each version of Python. `pip` prefers the compiled wheel.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.compiled import build_wheel, can_compile, copy_sources


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev wheels", description="Build the wheels of a release.")
    parser.add_argument("directory", nargs="?", type=Path, default=Path("dist"), help="default: dist")
    parser.add_argument("--pure", action="store_true", help="only the pure wheel")
    arguments = parser.parse_args()
    if not arguments.pure and not can_compile():
        sys.exit("wheels: no C compiler, or no Python.h; --pure builds the pure wheel alone")
    arguments.directory.mkdir(parents=True, exist_ok=True)
    for is_compiled in (False,) if arguments.pure else (False, True):
        wheel = _build(arguments.directory, is_compiled=is_compiled)
        sys.stdout.write(f"{arguments.directory / wheel}\n")


def _build(directory: Path, *, is_compiled: bool) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            wheel = build_wheel(copy_sources(Path(scratch)), Path(scratch) / "wheels", is_compiled=is_compiled)
        except subprocess.CalledProcessError as error:
            sys.exit(str(error.output))
        shutil.copy(wheel, directory)
        return wheel.name


if __name__ == "__main__":
    main()
