"""The invariants find devices without service, and edges that end badly. A correct run passes."""

import pytest

from tests.drills.record_index import RecordIndex
from tests.drills.records import ConnectAttempted, Ended, Fault, Healed, PhaseBegan, PresenceSeen, ReadinessChanged
from tests.drills.rolling import (
    GRACE_SECONDS,
    chats_served,
    drained,
    figures,
    longest_waits,
    phase_figures,
    readiness_shown,
    served,
    silence_noticed,
)
from tests.drills.sample_records import SampleRecords

CHAT, OTHER = 7, 8
BOUND = 5.0


@pytest.fixture
def sample() -> SampleRecords:
    sample = SampleRecords({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    sample.send("1/a", CHAT)
    sample.send("2/a", CHAT)
    return sample


def dial(sample: SampleRecords, device: str) -> None:
    sample.records.append(ConnectAttempted(sample.advance(), device))


def request_end(sample: SampleRecords) -> None:
    sample.records.append(Fault(sample.advance(), "edge-1", "end"))


def end(sample: SampleRecords, status: int = 0) -> None:
    sample.records.append(Ended(sample.advance(), "edge-1", status))


def unserved(sample: SampleRecords) -> list[str]:
    return [text.split()[0] for text in served(RecordIndex(sample.recorded), BOUND)]


# Service


def test_a_device_with_all_answers_is_served(sample: SampleRecords) -> None:
    assert unserved(sample) == []
    assert all(0 < wait.seconds < 0.1 for wait in longest_waits(RecordIndex(sample.recorded)).values())


def test_an_answer_that_takes_too_long_is_no_service(sample: SampleRecords) -> None:
    text = sample.send_unanswered("1/a", CHAT)
    sample.advance(BOUND + 1)
    sample.acknowledge("1/a", text, CHAT)
    assert unserved(sample) == ["1/a"]


def test_an_outage_by_error_replies_lasts_until_an_acknowledgement(sample: SampleRecords) -> None:
    for _ in range(3):
        sample.reject("1/a", sample.send_unanswered("1/a", CHAT), unknown=False)
        sample.advance(BOUND / 2)
    sample.send("1/a", CHAT)
    assert unserved(sample) == ["1/a"]


def test_a_short_series_of_error_replies_is_no_outage(sample: SampleRecords) -> None:
    sample.reject("1/a", sample.send_unanswered("1/a", CHAT), unknown=False)
    sample.advance(BOUND / 2)
    sample.send("1/a", CHAT)
    assert unserved(sample) == []


def test_the_way_back_lasts_from_the_first_attempt_to_the_login(sample: SampleRecords) -> None:
    sample.leave("1/a", 1012)
    dial(sample, "1/a")
    sample.advance(BOUND / 2)
    dial(sample, "1/a")
    sample.advance(BOUND / 2)
    sample.enter("1/a")
    assert unserved(sample) == ["1/a"]
    assert BOUND < longest_waits(RecordIndex(sample.recorded))["1/a"].seconds < BOUND + 0.1


def test_a_device_that_never_reconnects_waits_until_the_end(sample: SampleRecords) -> None:
    sample.leave("1/a", 1012)
    dial(sample, "1/a")
    sample.advance(BOUND)
    sample.send("2/a", CHAT)
    assert unserved(sample) == ["1/a"]


def test_time_after_an_own_close_is_no_wait(sample: SampleRecords) -> None:
    sample.send_unanswered("1/a", CHAT)
    sample.leave("1/a")
    sample.advance(2 * BOUND)
    dial(sample, "1/a")
    sample.enter("1/a")
    assert unserved(sample) == []


def test_messages_unanswered_by_a_broken_connection_count(sample: SampleRecords) -> None:
    sample.send_unanswered("1/a", CHAT)
    sample.advance(BOUND)
    sample.leave("1/a", 1006)
    dial(sample, "1/a")
    sample.enter("1/a")
    assert unserved(sample) == ["1/a"]


# Chats


def unserved_chats(sample: SampleRecords) -> list[str]:
    return [text.split()[1] for text in chats_served(RecordIndex(sample.recorded), BOUND)]


def test_a_chat_is_not_served_by_the_messages_of_another_one(sample: SampleRecords) -> None:
    sample.members[OTHER] = frozenset({1, 2})
    sample.history[OTHER] = []
    sample.reject("1/a", sample.send_unanswered("1/a", OTHER), unknown=True)
    sample.send("1/a", CHAT)
    sample.advance(BOUND)
    sample.send("2/a", OTHER)
    assert (unserved(sample), unserved_chats(sample)) == ([], [str(OTHER)])


def test_a_chat_is_served_again_by_a_message_of_any_member(sample: SampleRecords) -> None:
    sample.reject("1/a", sample.send_unanswered("1/a", CHAT), unknown=True)
    sample.send("2/a", CHAT)
    sample.advance(BOUND)
    sample.send("1/a", CHAT)
    assert unserved_chats(sample) == []


def test_a_message_that_waits_leaves_its_chat_without_service(sample: SampleRecords) -> None:
    text = sample.send_unanswered("1/a", CHAT)
    sample.advance(BOUND)
    sample.send("2/a", CHAT)
    sample.acknowledge("1/a", text, CHAT)
    assert unserved_chats(sample) == [str(CHAT)]


def test_waits_belong_to_the_phase_in_which_they_began(sample: SampleRecords) -> None:
    sample.records.append(PhaseBegan(sample.advance(), "grow"))
    text = sample.send_unanswered("1/a", CHAT)
    sample.records.append(PhaseBegan(sample.advance(2.0), "shrink"))
    sample.acknowledge("1/a", text, CHAT)
    sample.send("2/a", CHAT)
    found = phase_figures(RecordIndex(sample.recorded))
    assert (found["grow_chat_wait_seconds"], found["grow_device_wait_seconds"]) == (2.01, 2.01)
    assert found["shrink_chat_wait_seconds"] < 0.1


# Outages


def recover(sample: SampleRecords, seconds: float, *unserved: str) -> None:
    """Records that an outage of NATS is over now, after it has lasted for so many seconds."""
    at = sample.advance()
    sample.records.append(Healed(at, at - seconds, "nats", frozenset(unserved)))


def answer_late(sample: SampleRecords, *unserved: str, outage: float) -> None:
    """A message of device 1/a is acknowledged late: after an outage, and almost another BOUND."""
    text = sample.send_unanswered("1/a", CHAT)
    sample.advance(outage)
    recover(sample, outage, *unserved)
    sample.advance(BOUND - 1)
    sample.acknowledge("1/a", text, CHAT)


@pytest.mark.parametrize(("edge", "waiting"), [("edge-1", []), ("edge-2", ["1/a"])])
def test_the_time_of_an_outage_of_the_own_edge_does_not_count(
    sample: SampleRecords, edge: str, waiting: list[str]
) -> None:
    answer_late(sample, edge, outage=2 * BOUND)
    assert unserved(sample) == waiting


def test_a_login_is_excused_by_an_outage_of_all_edges_alone(sample: SampleRecords) -> None:
    for edges, waiting in ((("edge-1",), ["1/a"]), (("edge-1", "edge-2"), [])):
        records = list(sample.records)
        sample.leave("1/a", 1006)
        dial(sample, "1/a")
        sample.advance(2 * BOUND)
        recover(sample, 2 * BOUND, *edges)
        sample.enter("1/a")
        sample.send("1/a", CHAT)
        assert unserved(sample) == waiting
        sample.records[:] = records


def unready(sample: SampleRecords) -> list[str]:
    return list(readiness_shown(RecordIndex(sample.recorded), {"nats": ["edge"]}, noticing=5.0, bound=BOUND))


@pytest.mark.parametrize(
    ("unready_after", "ready_after", "violation"),
    [
        (1.0, 1.0, ""),
        (7.0, 1.0, "edge-1 was ready 5 s after the outage of nats began"),
        (1.0, BOUND + 1, "edge-1 was not ready 5 s after the outage of nats"),
    ],
)
def test_readiness_shows_an_outage(
    sample: SampleRecords, unready_after: float, ready_after: float, violation: str
) -> None:
    sample.records.append(ReadinessChanged(sample.advance(), "edge-1", True))
    sample.records.append(ReadinessChanged(sample.advance(unready_after), "edge-1", False))
    sample.advance(10.0 - unready_after)
    recover(sample, 10.0)
    sample.records.append(ReadinessChanged(sample.advance(ready_after), "edge-1", True))
    sample.advance(2 * BOUND)
    sample.send("2/a", CHAT)
    assert unready(sample) == ([violation] if violation else [])


def test_a_short_outage_need_not_show(sample: SampleRecords) -> None:
    sample.records.append(ReadinessChanged(sample.advance(), "edge-1", True))
    sample.advance(3.0)
    recover(sample, 3.0)
    sample.send("2/a", CHAT)
    assert unready(sample) == []


# Silence


@pytest.mark.parametrize(
    ("forgotten_after", "violations"), [(3.0, 0), (7.0, 1), (20.0, 1)], ids=["in time", "late", "never"]
)
def test_silent_clients_are_forgotten(sample: SampleRecords, forgotten_after: float, violations: int) -> None:
    sample.records.append(PresenceSeen(sample.advance(), "edge-1", frozenset({1})))
    began = sample.advance()
    sample.records.append(PresenceSeen(sample.advance(forgotten_after), "edge-1", frozenset()))
    sample.advance(10.0 - forgotten_after)
    healed = Healed(began + 10.0, began, "edge-1~clients", frozenset({"edge-1"}))
    sample.records.append(healed)
    assert len(list(silence_noticed(RecordIndex(sample.recorded), within=5.0))) == violations


def test_silence_needs_to_last_and_to_be_watched(sample: SampleRecords) -> None:
    began = sample.advance()
    sample.records.append(Healed(sample.advance(3.0), began, "edge-1~clients", frozenset({"edge-1"})))
    assert list(silence_noticed(RecordIndex(sample.recorded), within=5.0)) == [
        "nobody looked for the silent clients of edge-1 after 5 s"
    ]


# Ends


def test_an_end_in_order(sample: SampleRecords) -> None:
    request_end(sample)
    sample.leave("1/a", 1012)
    end(sample)
    sample.send("2/a", CHAT)
    record_index = RecordIndex(sample.recorded)
    assert list(drained(record_index)) == []
    assert figures(record_index)["sent_elsewhere"] == 1
    assert 0 < figures(record_index)["longest_end_seconds"] < 0.1


def test_dropped_clients_were_not_drained(sample: SampleRecords) -> None:
    request_end(sample)
    sample.leave("1/a", 1006)
    end(sample)
    assert [text.split(" was ")[1] for text in drained(RecordIndex(sample.recorded))] == [
        "closed with 1006 when edge-1 ended"
    ]


def test_earlier_ends_of_connections_do_not_count(sample: SampleRecords) -> None:
    sample.leave("1/a", 1006)
    request_end(sample)
    end(sample)
    assert list(drained(RecordIndex(sample.recorded))) == []


@pytest.mark.parametrize(("seconds", "status"), [(GRACE_SECONDS, 0), (0.0, 1), (0.0, -9)])
def test_an_end_that_takes_too_long_or_fails(sample: SampleRecords, seconds: float, status: int) -> None:
    request_end(sample)
    sample.leave("1/a", 1012)
    sample.advance(seconds)
    end(sample, status)
    assert [text.split(",")[0] for text in drained(RecordIndex(sample.recorded))] == ["edge-1 got SIGTERM"]


def test_an_end_that_never_comes(sample: SampleRecords) -> None:
    request_end(sample)
    assert list(drained(RecordIndex(sample.recorded))) == [
        "edge-1 got SIGTERM, and ended not at all",
        f"connection {sample.connection('1/a')} outlived edge-1, where it was",
    ]


def test_a_connection_that_outlives_its_edge(sample: SampleRecords) -> None:
    request_end(sample)
    end(sample)
    sample.advance(3.0)
    sample.leave("1/a", 1012)
    assert [text.split(" ", 2)[2] for text in drained(RecordIndex(sample.recorded))] == [
        "outlived edge-1, where it was"
    ]
