"""Shells complete commands and options when their start files have the lines of docs/operate/choose.md."""

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.system.typed_client import ScreenReader

PAGE = (ROOT / "docs/operate/choose.md").read_text()
LINES = {row[0]: row[1:] for row in re.findall(r"^\| (\w+) \| `(~/\S+)` \| `(.*)` \|$", PAGE, re.MULTILINE)}
"""For each shell, its start file and the line for it."""


@contextmanager
def terminal(shell: str, home: Path) -> Iterator[int]:
    """A shell in a terminal without colours, for a user with this home directory."""
    ours, theirs = pty.openpty()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"HOME": str(home), "PATH": path, "TERM": "dumb", "LANG": "C.UTF-8"}
    command = ["setsid", "--ctty", shell, "-i"]
    with subprocess.Popen(command, cwd=home, env=variables, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        yield ours
        process.kill()
    os.close(ours)


@pytest.mark.parametrize("shell", LINES)
def test_a_shell_completes_with_the_line_of_the_page(shell: str, tmp_path: Path) -> None:
    if not (shutil.which(shell) and shutil.which("setsid")):
        pytest.skip(f"there is no {shell} here")
    name, line = LINES[shell]
    file = tmp_path / name.removeprefix("~/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{line.replace(chr(92) + '|', '|')}\n")
    with terminal(shell, tmp_path) as typed:
        screen = ScreenReader(typed)
        os.write(typed, b"echo rea''dy\n")
        screen.expect("ready")
        for beginning, rest in (("dragoman das", "hboard"), ("admin message f", "ind"), ("up --edg", "es")):
            os.write(typed, f"{beginning}\t".encode())
            screen.expect(rest)
            os.write(typed, b"\x15dragoman ")


def test_the_page_has_the_shells_that_can_be_completed() -> None:
    assert sorted(LINES) == ["bash", "fish", "zsh"]
