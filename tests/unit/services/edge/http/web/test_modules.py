"""The JavaScript of the first page: the tests beside this file, run by node."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")
TESTS = sorted(Path(__file__).parent.glob("*.test.mjs"))


@pytest.mark.skipif(NODE is None, reason="there is no node to run JavaScript with")
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_the_modules_pass_their_tests(path: Path) -> None:
    done = subprocess.run([NODE or "", "--test", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), done.stdout
