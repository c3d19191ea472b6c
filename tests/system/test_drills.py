"""Runs a short kill drill: the present build passes it, and broken builds fail."""

from pathlib import Path

import pytest

from tests.drills.kill import SHORT
from tests.drills.mutants import MUTANTS
from tests.support.drilling import drill

pytestmark = pytest.mark.xdist_group("drills")


def test_nothing_acknowledged_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    status, figures = drill("kill", tmp_path, "--every", "2", "--seconds", "10", "--bound", "30")
    assert (status, figures["result"], figures["violations"], figures["doubts"]) == (0, "passed", [], [])


def test_a_broken_build_is_flagged(tmp_path: Path) -> None:
    """The build is broken in three ways at once.

    `./dev drill broken` runs all broken builds one after the other, and takes minutes.
    """
    names = ("ack-before-commit", "double-delivery", "skip-recipient")
    broken = [option for name in names for option in ("--break", name)]
    status, figures = drill("kill", tmp_path, "--every", "2", *SHORT, *broken)
    assert (status, figures["result"]) == (1, "failed")
    for name in names:
        assert figures["invariants"][MUTANTS[name].invariant], name
