"""Runs the tests in JavaScript with node."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node") or ""
WEBSOCKETS = ("--no-warnings", "--experimental-websocket")
"""Options with which an older node has WebSockets. From version 22 on, node has them without options."""
needs_node = pytest.mark.skipif(not NODE, reason="there is no node to run JavaScript with")


def modules_beside(file: str) -> list[Path]:
    """Returns the JavaScript test files in the folder of this file."""
    return sorted(Path(file).parent.glob("*.test.mjs"))


def check(path: Path) -> None:
    """Runs a test file. If not all of its tests pass, raises AssertionError with the output."""
    done = subprocess.run([NODE, "--test", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), done.stdout
