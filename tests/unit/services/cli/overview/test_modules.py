"""Runs the JavaScript tests of the dashboard in this folder with node."""

import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="there is no node to run JavaScript with")
def test_the_modules_pass_their_tests() -> None:
    path = Path(__file__).with_name("dashboard.test.mjs")
    done = subprocess.run([NODE or "", "--test", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 3" in done.stdout
