"""The invariants of the members drill flag each kind of violation, and nothing else."""

import pytest

from tests.drills.checker import check
from tests.drills.evidence import RequiredEvidence
from tests.drills.members import carried_out, only_while_member
from tests.drills.record_index import RecordIndex
from tests.drills.records import Deleted, Departed, Joined
from tests.drills.sample_records import SampleRecords

CHAT, OTHER = 7, 8
NEWCOMER = 3


@pytest.fixture
def sample() -> SampleRecords:
    """A message is posted, then the newcomer joins, and then another message is posted."""
    sample = SampleRecords(
        {CHAT: frozenset({1, 2}), OTHER: frozenset({3})}, dict.fromkeys(("1/a", "2/a", "3/a"), "edge-1")
    )
    sample.send("1/a", CHAT)
    began = sample.advance()
    sample.members[CHAT] |= {NEWCOMER}
    sample.records.append(Joined(sample.advance(), began, NEWCOMER, CHAT))
    sample.send("2/a", CHAT)
    return sample


def failures_of(sample: SampleRecords) -> set[str]:
    rules = {"S5 membership": only_while_member}
    return {one.invariant for one in check(sample.recorded, RequiredEvidence(ending=False), rules).violations}


def test_only_messages_after_the_join_are_required(sample: SampleRecords) -> None:
    assert failures_of(sample) == set()


def test_a_message_from_before_the_join(sample: SampleRecords) -> None:
    sample.receive("3/a", CHAT, sample.history[CHAT][0])
    assert failures_of(sample) == {"S5 membership", "I3 order"}


def test_a_missing_message_from_after_the_join(sample: SampleRecords) -> None:
    sample.leave("3/a")
    sample.send("1/a", CHAT)
    assert failures_of(sample) == {"I2 delivery"}


@pytest.mark.parametrize("is_deleted", [True, False])
@pytest.mark.parametrize(("seconds", "expected"), [(0.1, set()), (2.0, {"S5 membership"})])
def test_a_message_after_the_end_of_a_membership(
    sample: SampleRecords, is_deleted: bool, seconds: float, expected: set[str]
) -> None:
    """A message that was sent just before the end may still arrive."""
    at, began = sample.advance(), sample.advance()
    sample.records.append(Deleted(at, began, NEWCOMER) if is_deleted else Departed(at, began, NEWCOMER, CHAT))
    sample.advance(seconds)
    sample.send("1/a", CHAT)
    assert failures_of(sample) == expected


def test_no_message_after_the_departure_is_missed(sample: SampleRecords) -> None:
    sample.records.append(Departed(sample.advance(), sample.advance(), NEWCOMER, CHAT))
    sample.leave("3/a")
    sample.send("1/a", CHAT)
    assert failures_of(sample) == set()


@pytest.mark.parametrize(("leaves", "returns", "found"), [(True, False, 0), (False, False, 1), (True, True, 1)])
def test_a_deleted_account_is_disconnected_for_good(
    sample: SampleRecords, monkeypatch: pytest.MonkeyPatch, leaves: bool, returns: bool, found: int
) -> None:
    monkeypatch.setattr("tests.drills.members.NEWCOMERS", 1)
    monkeypatch.setattr("tests.drills.members.DELETED", 1)
    monkeypatch.setattr("tests.drills.members.LEAVING", 0)
    monkeypatch.setattr("tests.drills.members.REMOVED", 0)
    sample.records.append(Deleted(sample.advance(), sample.advance(), NEWCOMER))
    if leaves:
        sample.leave("3/a", 1008)
    sample.advance(6.0)
    if returns:
        sample.enter("3/a")
    sample.send("1/a", CHAT)
    assert len(list(carried_out(RecordIndex(sample.recorded)))) == found


def test_too_few_joins_prove_nothing(sample: SampleRecords) -> None:
    (violation,) = carried_out(RecordIndex(sample.recorded))
    assert violation == "only 1 joins, 0 departures and 0 deletions were carried out"
