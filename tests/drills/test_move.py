"""The move drill, short: it proves on a real system that partitions move under load, and flags a move that leaves
changes out."""

from pathlib import Path

import pytest

from tests.drills.move import plan, required_evidence
from tests.drills.mutants import MUTANTS
from tests.support.drilling import drill

pytestmark = pytest.mark.xdist_group("move")


def test_no_message_is_lost_while_partitions_move(tmp_path: Path) -> None:
    patient = ("--bound", "20")  # tests may share the machine with others
    status, figures = drill("move", tmp_path, "--seconds", "4", "--kills", "2", "--rate", "60", *patient)
    assert (status, figures["result"], figures["violations"], figures["doubts"]) == (0, "proven", [], [])


def test_a_move_that_leaves_changes_out_is_flagged(tmp_path: Path) -> None:
    broken = ("--phase", "there", "--break", "skip-catch-up")
    status, figures = drill("move", tmp_path, "--seconds", "3", *broken)
    assert (status, figures["result"]) == (1, "violated")
    assert figures["invariants"][MUTANTS["skip-catch-up"].invariant]


def test_every_move_and_kill_is_required() -> None:
    assert required_evidence(plan(4), 8, 100).faults == {"partitions": 7}
