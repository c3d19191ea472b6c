"""Compares the unread counts that a sleeper (account 2) was shown with its records and with the history."""

import pytest
from msgspec.structs import replace

from tests.drills.record_index import RecordIndex
from tests.drills.records import Fault, Healed, SleeperCutOff, UnreadFetched, UnreadShown
from tests.drills.sample_records import SampleRecords
from tests.drills.unread import SETTLED_SECONDS, counted

CHAT, OTHER = 7, 8
SLEEPER = 2


@pytest.fixture
def sample() -> SampleRecords:
    """Two messages wait for the sleeper. A third is the sleeper's own. A fourth is in a chat without the sleeper."""
    sample = SampleRecords(
        {CHAT: frozenset({1, SLEEPER}), OTHER: frozenset({1})}, {"1/a": "edge-1", f"{SLEEPER}/a": "edge-1"}
    )
    for device, chat in (("1/a", CHAT), ("1/a", CHAT), (f"{SLEEPER}/a", CHAT), ("1/a", OTHER)):
        sample.send(device, chat)
    return sample


def show(sample: SampleRecords, count: int) -> None:
    began = sample.advance()
    sample.records.append(UnreadShown(sample.advance(), began, SLEEPER, count))


def fetch(sample: SampleRecords, *texts: str) -> None:
    for text in texts:
        sample.records.append(UnreadFetched(sample.advance(), SLEEPER, text))


def is_right(sample: SampleRecords) -> bool:
    recorded = replace(sample.recorded, sleepers=frozenset({SLEEPER}))
    return not list(counted(RecordIndex(recorded)))


@pytest.mark.parametrize(("count", "right"), [(1, False), (2, True), (3, False)])
def test_each_message_of_others_counts_once(sample: SampleRecords, count: int, right: bool) -> None:
    show(sample, count)
    assert is_right(sample) is right


@pytest.mark.parametrize(("count", "right"), [(2, True), (3, True), (4, False)])
def test_a_message_without_an_answer_may_count(sample: SampleRecords, count: int, right: bool) -> None:
    text = sample.send_unanswered("1/a", CHAT)
    show(sample, count)
    sample.store(text, 1, CHAT)
    assert is_right(sample) is right


@pytest.mark.parametrize(("count", "right"), [(0, False), (1, True), (2, True)])
def test_a_message_received_lately_may_count(sample: SampleRecords, count: int, right: bool) -> None:
    fetch(sample, "text-1")
    show(sample, count)
    assert is_right(sample) is right


@pytest.mark.parametrize(("count", "right"), [(1, True), (2, False)])
def test_a_message_received_long_ago_does_not(sample: SampleRecords, count: int, right: bool) -> None:
    fetch(sample, "text-1")
    sample.advance(SETTLED_SECONDS)
    show(sample, count)
    assert is_right(sample) is right


@pytest.mark.parametrize(
    ("before", "after", "right"),
    [(0.0, 0.0, True), (SETTLED_SECONDS + 1, 0.0, False), (0.0, SETTLED_SECONDS + 1, False)],
)
def test_a_message_received_just_before_an_outage_may_count_until_it_is_over(
    sample: SampleRecords, before: float, after: float, right: bool
) -> None:
    fetch(sample, "text-1")
    began = sample.advance(before)
    sample.records.append(Healed(sample.advance(2 * SETTLED_SECONDS), began, "nats", frozenset()))
    sample.advance(after)
    show(sample, 2)
    assert is_right(sample) is right


def test_a_broken_connection_may_have_received_everything(sample: SampleRecords) -> None:
    sample.records.append(SleeperCutOff(sample.advance(), SLEEPER))
    show(sample, 0)
    show(sample, 2)
    assert is_right(sample)


def test_a_fault_excuses_no_count_but_zero(sample: SampleRecords) -> None:
    sample.records.append(Fault(sample.advance(), "message", "kill"))
    show(sample, 0)
    assert is_right(sample)
    show(sample, 1)
    assert not is_right(sample)
