"""Runs a drill by the command that an operator types."""

from pathlib import Path
from typing import Any

import msgspec

from tests.support.commands import PYTHON_MODULE, run


def drill(name: str, directory: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Runs a drill. Returns the exit status and the figures, which the drill writes to a file in the directory."""
    report = directory / "figures.json"
    command = [*PYTHON_MODULE, "tests.drills", name, "--json", str(report), *arguments]
    status, shown = run(command, report.with_suffix(".log"))
    assert report.exists(), shown
    return status, msgspec.json.decode(report.read_bytes())
