"""Tests deploy/systemd: systemd can read the units, and the commands and settings in them exist.

`deploy/systemd/end_to_end.sh` runs the units.
"""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from dragoman.main import main
from local.options import load
from shared.settings.edge import LONGEST_DRAIN_SECONDS
from tests.support.commands import subcommands

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(path for path in SYSTEMD.glob("dragoman*") if path.suffix in {".service", ".timer"})
PROGRAM = "/opt/dragoman/bin/dragoman"


def commands() -> list[list[str]]:
    """Yields the arguments of Dragoman's commands in the units, including commands inside a shell command."""
    lines = [line for unit in UNITS for line in re.findall(rf"{PROGRAM} ([^'\n]*)", unit.read_text())]
    return [shlex.split(line) for line in lines]


def test_their_commands_exist() -> None:
    found = commands()
    assert {arguments[0] for arguments in found} == {"up", "backup"}
    for name, *arguments in found:
        subcommands(main)[name].make_context(name, arguments, parent=click.Context(main))


def test_grace_period_covers_the_longest_drain() -> None:
    (period,) = re.findall(r"^TimeoutStopSec=(\d+)$", (SYSTEMD / "dragoman.service").read_text(), re.MULTILINE)
    assert int(period) >= LONGEST_DRAIN_SECONDS + 40, "then the services and the servers end, too"


def test_the_example_of_settings_is_valid() -> None:
    settings, _ = load(SYSTEMD / "dragoman.toml", {})
    assert settings.edge.demo == "off"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    paths = [str(tmp_path / unit.name) for unit in UNITS]
    done = subprocess.run(["/usr/bin/systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
