"""Runs the commands and programs of a page as printed, except for the addresses of the system."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.commands import ROOT

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SECONDS = 120.0


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: str, *languages: str) -> list[Block]:
    """Returns the blocks in the order of the page."""
    found = [Block(*block) for block in _BLOCK.findall((ROOT / page).read_text())]
    return [block for block in found if block.language in languages]


class ReaderShell:
    """A shell that runs the printed commands in an empty directory. `./dev` is a link to the checkout's."""

    def __init__(self, directory: Path, edges: Sequence[str]) -> None:
        self.directory = directory
        self._edges = edges
        (directory / "dev").symlink_to(ROOT / "dev")

    def own(self, text: str) -> str:
        """Returns the text with the addresses of the test's system in place of the printed ones."""
        for number, edge in enumerate(self._edges):
            text = text.replace(f"127.0.0.1:{8080 + number}", edge.removeprefix("ws://"))
        return text

    def run(self, script: str, variables: Mapping[str, str] | None = None) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "no_proxy": "*", **(variables or {})}
        done = subprocess.run(
            ["/bin/sh", "-euc", self.own(script)], cwd=self.directory, env=environment, capture_output=True, text=True,
            check=False, timeout=_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
