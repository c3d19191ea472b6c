"""The invariants of the members drill flag each planted violation, and nothing else."""

import pytest

from tests.drills.checker import check
from tests.drills.evidence import RequiredEvidence
from tests.drills.indexed_trial import IndexedTrial
from tests.drills.members import carried_out, only_while_member
from tests.drills.records import Deleted, Departed, Joined
from tests.drills.sample_trials import SampleTrial

CHAT, OTHER = 7, 8
NEWCOMER = 3


@pytest.fixture
def sample() -> SampleTrial:
    """A message was posted, then the newcomer has joined, then another was posted."""
    sample = SampleTrial(
        {CHAT: frozenset({1, 2}), OTHER: frozenset({3})}, dict.fromkeys(("1/a", "2/a", "3/a"), "edge-1")
    )
    sample.send("1/a", CHAT)
    began = sample.tick()
    sample.members[CHAT] |= {NEWCOMER}
    sample.records.append(Joined(sample.tick(), began, NEWCOMER, CHAT))
    sample.send("2/a", CHAT)
    return sample


def violated_by(sample: SampleTrial) -> set[str]:
    rules = {"S5 membership": only_while_member}
    return {one.invariant for one in check(sample.trial, RequiredEvidence(ending=False), rules).violations}


def test_only_messages_after_the_join_are_required(sample: SampleTrial) -> None:
    assert violated_by(sample) == set()


def test_a_message_from_before_the_join(sample: SampleTrial) -> None:
    sample.receive("3/a", CHAT, sample.history[CHAT][0])
    assert violated_by(sample) == {"S5 membership", "I3 order"}


def test_a_missing_message_from_after_the_join(sample: SampleTrial) -> None:
    sample.leave("3/a")
    sample.send("1/a", CHAT)
    assert violated_by(sample) == {"I2 delivery"}


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, set()), (2.0, {"S5 membership"})])
def test_a_message_after_the_deletion(sample: SampleTrial, seconds: float, expected: set[str]) -> None:
    """One that is under way at that moment may arrive."""
    sample.records.append(Deleted(sample.tick(), sample.tick(), NEWCOMER))
    sample.tick(seconds)
    sample.send("1/a", CHAT)
    assert violated_by(sample) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, set()), (2.0, {"S5 membership"})])
def test_a_message_after_the_departure(sample: SampleTrial, seconds: float, expected: set[str]) -> None:
    """One that is under way at that moment may arrive."""
    sample.records.append(Departed(sample.tick(), sample.tick(), NEWCOMER, CHAT))
    sample.tick(seconds)
    sample.send("1/a", CHAT)
    assert violated_by(sample) == expected


def test_no_message_after_the_departure_is_missed(sample: SampleTrial) -> None:
    sample.records.append(Departed(sample.tick(), sample.tick(), NEWCOMER, CHAT))
    sample.leave("3/a")
    sample.send("1/a", CHAT)
    assert violated_by(sample) == set()


@pytest.mark.parametrize(("leaves", "returns", "found"), [(True, False, 0), (False, False, 1), (True, True, 1)])
def test_a_deleted_account_is_disconnected_for_good(
    sample: SampleTrial, monkeypatch: pytest.MonkeyPatch, leaves: bool, returns: bool, found: int
) -> None:
    monkeypatch.setattr("tests.drills.members.NEWCOMERS", 1)
    monkeypatch.setattr("tests.drills.members.DELETED", 1)
    monkeypatch.setattr("tests.drills.members.LEAVING", 0)
    monkeypatch.setattr("tests.drills.members.REMOVED", 0)
    sample.records.append(Deleted(sample.tick(), sample.tick(), NEWCOMER))
    if leaves:
        sample.leave("3/a", 1008)
    sample.tick(6.0)
    if returns:
        sample.enter("3/a")
    sample.send("1/a", CHAT)
    assert len(list(carried_out(IndexedTrial(sample.trial)))) == found


def test_too_few_joins_prove_nothing(sample: SampleTrial) -> None:
    (violation,) = carried_out(IndexedTrial(sample.trial))
    assert violation == "only 1 joins, 0 departures and 0 deletions were carried out"
