"""The kill drill, short: it proves the contract on the present build, and flags builds that break it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.drills.cluster import ROOT
from tests.drills.kill import SHORT
from tests.drills.mutants import MUTANTS

pytestmark = [pytest.mark.xdist_group("drills"), pytest.mark.timeout(240)]

Figures = dict[str, Any]


def drill(report: Path, *arguments: str) -> tuple[int, Figures]:
    """The exit status, and the figures."""
    command = [sys.executable, "-m", "tests.drills", "kill", "--every", "2", "--json", str(report), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout + done.stderr
    figures: Figures = msgspec.json.decode(report.read_bytes())
    return done.returncode, figures


def test_nothing_acknowledged_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    status, figures = drill(tmp_path / "figures.json", "--seconds", "10", "--bound", "30")
    assert (status, figures["result"], figures["violations"], figures["doubts"]) == (0, "proven", [], [])


@pytest.mark.parametrize("name", ["ack-before-commit", "double-delivery", "skip-recipient"])
def test_a_broken_build_is_flagged(tmp_path: Path, name: str) -> None:
    """`./dev drill broken` tries all of them, and takes minutes."""
    status, figures = drill(tmp_path / "figures.json", *SHORT, "--break", name)
    assert (status, figures["result"]) == (1, "violated")
    assert figures["invariants"][MUTANTS[name].invariant]
