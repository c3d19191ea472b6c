"""The scale drill, short: it proves on a real system that processes may be added and removed, and flags an edge that
ends badly."""

from pathlib import Path

import pytest

from tests.drills.mutants import MUTANTS
from tests.drills.scale import plan, required_evidence
from tests.support.drilling import drill

pytestmark = pytest.mark.xdist_group("scale")


def test_no_message_is_lost_while_processes_are_replaced(tmp_path: Path) -> None:
    patient = ("--bound", "20")  # tests may share the machine with others
    status, figures = drill("scale", tmp_path, "--edges", "2", "--seconds", "10", "--rate", "60", *patient)
    assert (status, figures["result"], figures["violations"], figures["doubts"]) == (0, "proven", [], [])
    assert figures["sent_elsewhere"] > 0


def test_an_edge_that_ends_badly_is_flagged(tmp_path: Path) -> None:
    broken = ("--phase", "grow", "--phase", "shrink", "--break", "forgetful-end")
    status, figures = drill("scale", tmp_path, "--edges", "2", "--seconds", "4", *broken)
    assert (status, figures["result"]) == (1, "violated")
    assert figures["invariants"][MUTANTS["forgetful-end"].invariant]


# The plan


def test_every_first_process_is_replaced_and_one_edge_is_left() -> None:
    steps = plan(4, 1, upgrade=False)
    assert required_evidence(steps, 60, 100).faults == {
        "auth-1": 1, "session-1": 1, "message-1": 1, "message-2": 1, **{f"edge-{number}": 1 for number in range(1, 8)},
        "nats": 1, "valkey": 1,
    }  # fmt: skip
    assert 1 + sum({"start": 1, "end": -1}.get(step.act, 0) for step in steps) == 1
    assert all(step.what == "edge" for step in steps if step.act in ("start", "end"))


def test_the_seed_decides_the_order() -> None:
    plans = {tuple(plan(4, seed, upgrade=False)) for seed in (1, 1, 2, 3, 4, 5)}
    assert 1 < len(plans) <= 5


def test_databases_are_migrated_before_anything_new_starts() -> None:
    acts = [step.act for step in plan(2, 1, upgrade=True)]
    assert acts.count("migrate") == 1
    assert acts.index("migrate") < acts.index("replace")
