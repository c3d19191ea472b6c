"""The same seed gives the same mutated frames, and they are of all kinds. The invariants of the drill find errors."""

import pytest

from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount
from services.edge.canonical.frames import Binary, Frame
from tests.drills import fuzz
from tests.drills.fuzzed_frames import FrameMutator
from tests.drills.record_index import RecordIndex
from tests.drills.records import (
    ChatAnnounced,
    DrillRecords,
    FuzzEnded,
    MessageAcknowledged,
    MessageReceived,
    MessageSent,
    Opened,
    Record,
    TracebackLogged,
)

FRAMES = 2000


def frames(dialect: str, seed: int = 1) -> list[Frame]:
    mutator = FrameMutator(dialect, seed)
    return [mutator.next() for _ in range(FRAMES)]


def indexed(*records: Record) -> RecordIndex:
    return RecordIndex(DrillRecords({}, list(records), {}))


@pytest.mark.parametrize("dialect", CODECS)
def test_the_seed_determines_the_frames(dialect: str) -> None:
    assert frames(dialect) == frames(dialect)
    assert frames(dialect) != frames(dialect, seed=2)


@pytest.mark.parametrize("dialect", CODECS)
def test_most_frames_are_new(dialect: str) -> None:
    found = {frame.data if isinstance(frame, Binary) else frame for frame in frames(dialect)}
    assert len(found) > FRAMES / 2


def test_binary_frames_stay_binary() -> None:
    assert any(isinstance(frame, Binary) for frame in frames("ourchat-v0"))


def test_the_account_of_the_client_takes_the_place_of_that_of_the_vectors() -> None:
    mutator = FrameMutator("pipe", 1, ClientAccount(number=777, token="own"))
    found = [frame for frame in (mutator.first() for _ in range(FRAMES)) if isinstance(frame, bytes)]
    assert any(b"|777|own" in frame for frame in found)
    assert not any(b"|12|" in frame or b"eyJ" in frame for frame in found)


def test_a_clean_end_is_no_violation() -> None:
    assert list(fuzz.robust(indexed(FuzzEnded(1.0, "pipe", 9, 1007, [], [])))) == []


@pytest.mark.parametrize(
    "record",
    [
        FuzzEnded(1.0, "pipe", 9, 1011, ["x"], []),
        FuzzEnded(1.0, "pipe", 9, 1000, [], ["?"]),
        TracebackLogged(1.0, "Traceback"),
    ],
)
def test_an_error_is_a_violation(record: Record) -> None:
    assert len(list(fuzz.robust(indexed(record)))) == 1


def test_messages_of_chats_that_mutated_frames_have_created_do_not_count() -> None:
    received = [MessageReceived(1.0, 1, chat, 9, chat, "x", 1) for chat in (5, 61)]
    records: list[Record] = [Opened(0.0, 1, "1/a", 1, "edge-1"), *received, ChatAnnounced(1.0, 1, 61)]
    recorded = fuzz.without_foreign_chats(DrillRecords({5: frozenset({1})}, records, {}))
    assert recorded.records == records[:2]


def test_late_acknowledgements_are_a_violation() -> None:
    records: list[Record] = [Opened(0.0, 1, "1/a", 1, "edge-1")]
    for number in range(100):
        seconds = 0.5 if number > 97 else 0.01
        records += [MessageSent(1.0, 1, 5, str(number)), MessageAcknowledged(1.0 + seconds, 1, str(number), number)]
    assert len(list(fuzz.prompt(indexed(*records), bound=0.1))) == 1
    assert list(fuzz.prompt(indexed(*records), bound=0.6)) == []
