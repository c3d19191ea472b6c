"""Tests the node's journal of recent messages. Its size is limited, and it says since when it is complete."""

from itertools import count

import pytest

from services.edge import journal as module
from services.edge.journal import MessageJournal
from shared.contract.audit import Acceptance, Arrival, Confirmation
from shared.contract.ids import AccountId, ChatId, Nonce

CHAT, OTHER, ALICE = ChatId(7), ChatId(8), AccountId(2**60)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that advances by a millisecond each time it is read."""
    times = count(1_001)
    monkeypatch.setattr(module, "monotonic", lambda: next(times) / 1000)
    monkeypatch.setattr(module, "unix_ms_at", lambda at: round(at * 1000))


@pytest.mark.usefixtures("clock")
def test_each_kind_of_entry_is_found_again() -> None:
    journal = MessageJournal()
    journal.requested("trace", [Nonce(1), Nonce(2**63 - 1)])
    journal.acknowledged(ALICE, "v2", CHAT, [4, 5], 0.002)
    journal.arrived("message-1", 9, CHAT, 4, 5)
    journal.confirmed(ALICE, "v1", {CHAT: [(4, 4), (6, 9)], OTHER: [(1, 1)]})
    assert journal.nonces_of("trace") == [1, 2**63 - 1]
    assert journal.traces_of(Nonce(1)) == ["trace"]
    assert journal.acceptance_of(CHAT, 5) == Acceptance(1_004, 1_006, ALICE, "v2")
    assert journal.acceptance_of(CHAT, 6) is None
    assert journal.arrivals_of(CHAT, 5) == [Arrival(1_007, "message-1", 9)]
    assert journal.arrivals_of(OTHER, 5) == []
    assert journal.confirmations_of(CHAT, 7) == [Confirmation(1_008, ALICE, "v1")]
    assert journal.confirmations_of(CHAT, 5) == []
    assert journal.confirmations_by(ALICE) == {CHAT: [(4, 4, 1_008), (6, 9, 1_008)], OTHER: [(1, 1, 1_008)]}
    assert journal.remembers_from <= 1_004


@pytest.mark.usefixtures("clock")
def test_at_least_the_last_5000_entries_are_known_and_from_when_on() -> None:
    journal = MessageJournal()
    began = journal.remembers_from
    for index in range(1, 5_001):
        journal.arrived("message-1", index, CHAT, index, index)
    assert journal.remembers_from == began
    for index in range(5_001, 12_001):
        journal.arrived("message-1", index, CHAT, index, index)
    known = [journal.arrivals_of(CHAT, index) for index in range(1, 12_001)[::500]]
    kept = [arrivals[0] for arrivals in known if arrivals]
    assert known[-10:] == [[arrival] for arrival in kept[-10:]], "the last 5,000 are kept"
    assert not known[0], "the first ones are forgotten"
    assert began < journal.remembers_from <= kept[0].at
    assert all(arrival.at >= journal.remembers_from for arrival in kept)
