from collections.abc import Sequence

import pytest

from bench.load.message_tag import Tag
from bench.load.verifier import Faults, Inbox, SentCounts, faults_of_page

_ANN, _BOB = 1, 2
_CHAT = 70


def _inbox(faults: Faults) -> Inbox:
    return Inbox([_CHAT], {_ANN: _CHAT, _BOB: _CHAT, 3: 71}, faults)


def _faults_of(numbers: Sequence[int], sent: int, rejected: set[int] | None = None) -> Faults:
    """Returns the faults when Ann has sent the messages 1 to `sent`, and `numbers` have arrived."""
    faults = Faults()
    inbox = _inbox(faults)
    for position, number in enumerate(numbers):
        inbox.receive(Tag(0, _ANN, number, 0), position)
    faults.lost += inbox.lost([_ANN], SentCounts({_ANN: sent}, {_ANN: rejected or set()}))
    return faults


def test_everything_once_and_in_order_is_no_fault() -> None:
    assert not _faults_of([1, 2, 3], sent=3).any()


@pytest.mark.parametrize("numbers", [[], [1], [3], [2, 3], [1, 3], [1, 2]])
def test_a_missing_message_is_lost(numbers: list[int]) -> None:
    assert _faults_of(numbers, sent=3) == Faults(lost=3 - len(numbers))


@pytest.mark.parametrize("numbers", [[1, 1, 2, 3], [1, 2, 3, 1], [1, 2, 3, 3], [1, 2, 2, 3]])
def test_a_repeated_message_is_doubled(numbers: list[int]) -> None:
    assert _faults_of(numbers, sent=3) == Faults(doubled=1)


@pytest.mark.parametrize("numbers", [[2, 1, 3], [1, 3, 2]])
def test_a_late_message_is_reordered_and_not_lost(numbers: list[int]) -> None:
    assert _faults_of(numbers, sent=3) == Faults(reordered=1)


def test_a_message_late_and_repeated_is_both() -> None:
    assert _faults_of([2, 1, 1], sent=2) == Faults(reordered=1, doubled=1)


def test_a_rejected_message_is_not_lost() -> None:
    assert not _faults_of([1, 3], sent=4, rejected={2, 4}).any()


def test_the_order_of_several_senders_is_that_of_their_positions() -> None:
    faults = Faults()
    inbox = _inbox(faults)
    inbox.receive(Tag(0, _ANN, 1, 0), 2)
    inbox.receive(Tag(0, _BOB, 1, 0), 1)
    inbox.receive(Tag(0, _ANN, 2, 0), 2)
    assert faults == Faults(reordered=1)


@pytest.mark.parametrize("sender", [3, 99])
def test_a_message_of_a_foreign_chat_is_a_misdelivery(sender: int) -> None:
    faults = Faults()
    assert not _inbox(faults).receive(Tag(0, sender, 1, 0), 1)
    assert faults == Faults(misrouted=1)


def test_a_history_fills_what_is_missing_and_repeats_what_is_known() -> None:
    faults = Faults()
    inbox = _inbox(faults)
    inbox.receive(Tag(0, _ANN, 3, 0), 3)
    news = [inbox.read(Tag(0, _ANN, number, 0), number) for number in (5, 4, 3, 2, 1)]
    assert news == [True, True, False, True, True]
    assert inbox.lost([_ANN], SentCounts({_ANN: 5})) == 0
    assert inbox.position(_CHAT) == 5
    assert not faults.any()


def test_a_read_message_may_be_shown_once_more_and_not_twice() -> None:
    faults = Faults()
    inbox = _inbox(faults)
    inbox.read(Tag(0, _ANN, 1, 0), 1)
    assert not inbox.receive(Tag(0, _ANN, 1, 0), 1)
    assert not faults.any()
    assert not inbox.receive(Tag(0, _ANN, 1, 0), 1)
    assert faults == Faults(doubled=1)


def test_counts_of_several_processes_are_merged() -> None:
    sent_counts, faults = SentCounts({1: 5}), Faults(lost=1, closed=2)
    sent_counts.merge(SentCounts({2: 6}, {2: {1}}))
    faults.merge(Faults(lost=2))
    assert (sent_counts, faults) == (SentCounts({1: 5, 2: 6}, {2: {1}}), Faults(lost=3, closed=2))


@pytest.mark.parametrize(
    ("found", "faults"),
    [
        ([9, 8, 7], Faults()),
        ([9, 7], Faults(lost=1)),
        ([9, 8, 8, 7], Faults(doubled=1)),
        ([9, 7, 8], Faults(reordered=1)),
        ([9, 8, 7, 6], Faults(misrouted=1)),
        ([], Faults(lost=3)),
    ],
)
def test_a_page_holds_the_requested_messages(found: list[int], faults: Faults) -> None:
    assert faults_of_page(9, 3, found) == faults
