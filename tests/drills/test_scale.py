"""Runs a short scale drill on a real system: it passes when processes are added and removed and leaders fail.

An edge that ends badly is flagged.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.drills.mutants import MUTANTS
from tests.drills.scale import FIRST, plan, required_evidence
from tests.support.drilling import drill

pytestmark = pytest.mark.xdist_group("scale")


def test_no_message_is_lost_while_processes_are_replaced(tmp_path: Path) -> None:
    patient = ("--bound", "20")  # other tests may load the machine, so the bound is long
    few = ("--edges", "2", "--replicas", "2")
    status, figures = drill("scale", tmp_path, *few, "--seconds", "10", "--rate", "60", *patient)
    assert (status, figures["result"], figures["violations"], figures["doubts"]) == (0, "passed", [], [])
    assert figures["sent_elsewhere"] > 0


def test_an_edge_that_ends_badly_is_flagged(tmp_path: Path) -> None:
    broken = ("--phase", "grow", "--phase", "shrink", "--break", "forgetful-end")
    status, figures = drill("scale", tmp_path, "--edges", "2", "--seconds", "4", *broken)
    assert (status, figures["result"]) == (1, "failed")
    assert figures["invariants"][MUTANTS["forgetful-end"].invariant]


# The plan


def test_every_process_is_replaced_and_one_of_each_is_left() -> None:
    steps = plan(4, 3, 2, 1, upgrade=False)
    replaced = Counter(step.what for step in steps if step.act == "replace")
    assert replaced == {"auth": 1, "session": 1, "message": 3, "edge": 4}
    change: Counter[str] = Counter()
    for step in steps:
        change[step.what] += {"start": 1, "end": -1}.get(step.act, 0)
    assert set(change.values()) == {0}


def test_several_replicas_live_whenever_a_leader_is_killed_or_frozen() -> None:
    live, faults = Counter(FIRST), 0
    for step in plan(2, 2, 2, 1, upgrade=False):
        live[step.what] += {"start": 1, "end": -1}.get(step.act, 0)
        if step.act in ("kill", "freeze"):
            faults += 1
            assert live[step.what] > 1
    assert faults == 4


def test_every_fault_is_required() -> None:
    steps = plan(4, 4, 2, 1, upgrade=True)
    ends = 10 + 6
    expected = {"end": ends, "kill": 2, "stop": 2, "restart": 2}
    assert required_evidence(steps, 60, 100).kinds == expected


def test_the_seed_decides_the_order() -> None:
    plans = {tuple(plan(4, 4, 2, seed, upgrade=False)) for seed in (1, 1, 2, 3, 4, 5)}
    assert 1 < len(plans) <= 5


def test_databases_are_migrated_before_anything_new_starts() -> None:
    acts = [step.act for step in plan(2, 2, 0, 1, upgrade=True)]
    assert acts.count("migrate") == 1
    assert acts.index("migrate") < acts.index("replace")
