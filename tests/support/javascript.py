"""Tests in JavaScript, run by node."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node") or ""
WEBSOCKETS = ("--no-warnings", "--experimental-websocket")
"""Arguments that give node a WebSocket, which node has without arguments from version 22 on."""
needs_node = pytest.mark.skipif(not NODE, reason="there is no node to run JavaScript with")


def modules_beside(file: str) -> list[Path]:
    """The test files in JavaScript in the folder of this file."""
    return sorted(Path(file).parent.glob("*.test.mjs"))


def check(path: Path) -> None:
    """Raises AssertionError with the output of a file whose tests do not all pass."""
    done = subprocess.run([NODE, "--test", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), done.stdout
