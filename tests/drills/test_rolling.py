"""Devices without service and edges that end badly are found; an orderly course passes."""

import pytest

from tests.drills.indexed_trial import IndexedTrial
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
from tests.drills.sample_trials import SampleTrial

CHAT, OTHER = 7, 8
BOUND = 5.0


@pytest.fixture
def sample() -> SampleTrial:
    sample = SampleTrial({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    sample.send("1/a", CHAT)
    sample.send("2/a", CHAT)
    return sample


def dial(sample: SampleTrial, device: str) -> None:
    sample.records.append(ConnectAttempted(sample.tick(), device))


def request_end(sample: SampleTrial) -> None:
    sample.records.append(Fault(sample.tick(), "edge-1", "end"))


def end(sample: SampleTrial, status: int = 0) -> None:
    sample.records.append(Ended(sample.tick(), "edge-1", status))


def unserved(sample: SampleTrial) -> list[str]:
    return [text.split()[0] for text in served(IndexedTrial(sample.trial), BOUND)]


# Service


def test_a_device_with_all_answers_is_served(sample: SampleTrial) -> None:
    assert unserved(sample) == []
    assert all(0 < wait.seconds < 0.1 for wait in longest_waits(IndexedTrial(sample.trial)).values())


def test_an_answer_that_takes_too_long_is_no_service(sample: SampleTrial) -> None:
    text = sample.send_unanswered("1/a", CHAT)
    sample.tick(BOUND + 1)
    sample.acknowledge("1/a", text, CHAT)
    assert unserved(sample) == ["1/a"]


def test_an_outage_by_error_replies_lasts_until_an_acknowledgement(sample: SampleTrial) -> None:
    for _ in range(3):
        sample.reject("1/a", sample.send_unanswered("1/a", CHAT), unknown=False)
        sample.tick(BOUND / 2)
    sample.send("1/a", CHAT)
    assert unserved(sample) == ["1/a"]


def test_a_short_series_of_error_replies_is_no_outage(sample: SampleTrial) -> None:
    sample.reject("1/a", sample.send_unanswered("1/a", CHAT), unknown=False)
    sample.tick(BOUND / 2)
    sample.send("1/a", CHAT)
    assert unserved(sample) == []


def test_the_way_back_lasts_from_the_first_attempt_to_the_login(sample: SampleTrial) -> None:
    sample.leave("1/a", 1012)
    dial(sample, "1/a")
    sample.tick(BOUND / 2)
    dial(sample, "1/a")
    sample.tick(BOUND / 2)
    sample.enter("1/a")
    assert unserved(sample) == ["1/a"]
    assert BOUND < longest_waits(IndexedTrial(sample.trial))["1/a"].seconds < BOUND + 0.1


def test_a_device_that_never_reconnects_waits_until_the_end(sample: SampleTrial) -> None:
    sample.leave("1/a", 1012)
    dial(sample, "1/a")
    sample.tick(BOUND)
    sample.send("2/a", CHAT)
    assert unserved(sample) == ["1/a"]


def test_time_after_an_own_close_is_no_wait(sample: SampleTrial) -> None:
    sample.send_unanswered("1/a", CHAT)
    sample.leave("1/a")
    sample.tick(2 * BOUND)
    dial(sample, "1/a")
    sample.enter("1/a")
    assert unserved(sample) == []


def test_messages_unanswered_by_a_broken_connection_count(sample: SampleTrial) -> None:
    sample.send_unanswered("1/a", CHAT)
    sample.tick(BOUND)
    sample.leave("1/a", 1006)
    dial(sample, "1/a")
    sample.enter("1/a")
    assert unserved(sample) == ["1/a"]


# Chats


def unserved_chats(sample: SampleTrial) -> list[str]:
    return [text.split()[1] for text in chats_served(IndexedTrial(sample.trial), BOUND)]


def test_a_chat_is_not_served_by_the_messages_of_another_one(sample: SampleTrial) -> None:
    sample.members[OTHER] = frozenset({1, 2})
    sample.history[OTHER] = []
    sample.reject("1/a", sample.send_unanswered("1/a", OTHER), unknown=True)
    sample.send("1/a", CHAT)
    sample.tick(BOUND)
    sample.send("2/a", OTHER)
    assert (unserved(sample), unserved_chats(sample)) == ([], [str(OTHER)])


def test_a_chat_is_served_again_by_a_message_of_any_member(sample: SampleTrial) -> None:
    sample.reject("1/a", sample.send_unanswered("1/a", CHAT), unknown=True)
    sample.send("2/a", CHAT)
    sample.tick(BOUND)
    sample.send("1/a", CHAT)
    assert unserved_chats(sample) == []


def test_a_message_that_waits_leaves_its_chat_without_service(sample: SampleTrial) -> None:
    text = sample.send_unanswered("1/a", CHAT)
    sample.tick(BOUND)
    sample.send("2/a", CHAT)
    sample.acknowledge("1/a", text, CHAT)
    assert unserved_chats(sample) == [str(CHAT)]


def test_waits_belong_to_the_phase_in_which_they_began(sample: SampleTrial) -> None:
    sample.records.append(PhaseBegan(sample.tick(), "grow"))
    text = sample.send_unanswered("1/a", CHAT)
    sample.records.append(PhaseBegan(sample.tick(2.0), "shrink"))
    sample.acknowledge("1/a", text, CHAT)
    sample.send("2/a", CHAT)
    found = phase_figures(IndexedTrial(sample.trial))
    assert (found["grow_chat_wait_seconds"], found["grow_device_wait_seconds"]) == (2.01, 2.01)
    assert found["shrink_chat_wait_seconds"] < 0.1


# Outages


def heal(sample: SampleTrial, seconds: float, *unserved: str) -> None:
    """An outage of NATS, over now, that has lasted so long."""
    at = sample.tick()
    sample.records.append(Healed(at, at - seconds, "nats", frozenset(unserved)))


def answer_late(sample: SampleTrial, *unserved: str, outage: float) -> None:
    """A message of 1/a is answered when an outage has ended and another BOUND has passed."""
    text = sample.send_unanswered("1/a", CHAT)
    sample.tick(outage)
    heal(sample, outage, *unserved)
    sample.tick(BOUND - 1)
    sample.acknowledge("1/a", text, CHAT)


def test_the_time_of_an_outage_does_not_count(sample: SampleTrial) -> None:
    answer_late(sample, "edge-1", outage=2 * BOUND)
    assert unserved(sample) == []


def test_an_outage_of_another_edge_counts(sample: SampleTrial) -> None:
    answer_late(sample, "edge-2", outage=2 * BOUND)
    assert unserved(sample) == ["1/a"]


def test_a_login_is_excused_by_an_outage_of_all_edges_alone(sample: SampleTrial) -> None:
    for edges, waiting in ((("edge-1",), ["1/a"]), (("edge-1", "edge-2"), [])):
        records = list(sample.records)
        sample.leave("1/a", 1006)
        dial(sample, "1/a")
        sample.tick(2 * BOUND)
        heal(sample, 2 * BOUND, *edges)
        sample.enter("1/a")
        sample.send("1/a", CHAT)
        assert unserved(sample) == waiting
        sample.records[:] = records


def unready(sample: SampleTrial) -> list[str]:
    return list(readiness_shown(IndexedTrial(sample.trial), {"nats": ["edge"]}, noticing=5.0, bound=BOUND))


@pytest.mark.parametrize(
    ("unready_after", "ready_after", "violation"),
    [
        (1.0, 1.0, ""),
        (7.0, 1.0, "edge-1 was ready 5 s after the outage of nats began"),
        (1.0, BOUND + 1, "edge-1 was not ready 5 s after the outage of nats"),
    ],
)
def test_readiness_shows_an_outage(
    sample: SampleTrial, unready_after: float, ready_after: float, violation: str
) -> None:
    sample.records.append(ReadinessChanged(sample.tick(), "edge-1", True))
    sample.records.append(ReadinessChanged(sample.tick(unready_after), "edge-1", False))
    sample.tick(10.0 - unready_after)
    heal(sample, 10.0)
    sample.records.append(ReadinessChanged(sample.tick(ready_after), "edge-1", True))
    sample.tick(2 * BOUND)
    sample.send("2/a", CHAT)
    assert unready(sample) == ([violation] if violation else [])


def test_a_short_outage_need_not_show(sample: SampleTrial) -> None:
    sample.records.append(ReadinessChanged(sample.tick(), "edge-1", True))
    sample.tick(3.0)
    heal(sample, 3.0)
    sample.send("2/a", CHAT)
    assert unready(sample) == []


# Silence


@pytest.mark.parametrize(
    ("forgotten_after", "violations"), [(3.0, 0), (7.0, 1), (20.0, 1)], ids=["in time", "late", "never"]
)
def test_silent_clients_are_forgotten(sample: SampleTrial, forgotten_after: float, violations: int) -> None:
    sample.records.append(PresenceSeen(sample.tick(), "edge-1", frozenset({1})))
    began = sample.tick()
    sample.records.append(PresenceSeen(sample.tick(forgotten_after), "edge-1", frozenset()))
    sample.tick(10.0 - forgotten_after)
    healed = Healed(began + 10.0, began, "edge-1~clients", frozenset({"edge-1"}))
    sample.records.append(healed)
    assert len(list(silence_noticed(IndexedTrial(sample.trial), within=5.0))) == violations


def test_silence_needs_to_last_and_to_be_watched(sample: SampleTrial) -> None:
    began = sample.tick()
    sample.records.append(Healed(sample.tick(3.0), began, "edge-1~clients", frozenset({"edge-1"})))
    assert list(silence_noticed(IndexedTrial(sample.trial), within=5.0)) == [
        "nobody looked for the silent clients of edge-1 after 5 s"
    ]


# Ends


def test_an_end_in_order(sample: SampleTrial) -> None:
    request_end(sample)
    sample.leave("1/a", 1012)
    end(sample)
    sample.send("2/a", CHAT)
    trial_index = IndexedTrial(sample.trial)
    assert list(drained(trial_index)) == []
    assert figures(trial_index)["sent_elsewhere"] == 1
    assert 0 < figures(trial_index)["longest_end_seconds"] < 0.1


def test_dropped_clients_were_not_drained(sample: SampleTrial) -> None:
    request_end(sample)
    sample.leave("1/a", 1006)
    end(sample)
    assert [text.split(" was ")[1] for text in drained(IndexedTrial(sample.trial))] == [
        "closed with 1006 when edge-1 ended"
    ]


def test_earlier_ends_of_connections_do_not_count(sample: SampleTrial) -> None:
    sample.leave("1/a", 1006)
    request_end(sample)
    end(sample)
    assert list(drained(IndexedTrial(sample.trial))) == []


@pytest.mark.parametrize(("seconds", "status"), [(GRACE_SECONDS, 0), (0.0, 1), (0.0, -9)])
def test_an_end_that_takes_too_long_or_fails(sample: SampleTrial, seconds: float, status: int) -> None:
    request_end(sample)
    sample.leave("1/a", 1012)
    sample.tick(seconds)
    end(sample, status)
    assert [text.split(",")[0] for text in drained(IndexedTrial(sample.trial))] == ["edge-1 got SIGTERM"]


def test_an_end_that_never_comes(sample: SampleTrial) -> None:
    request_end(sample)
    assert list(drained(IndexedTrial(sample.trial))) == [
        "edge-1 got SIGTERM, and ended not at all",
        f"connection {sample.connection('1/a')} outlived edge-1, where it was",
    ]


def test_a_connection_that_outlives_its_edge(sample: SampleTrial) -> None:
    request_end(sample)
    end(sample)
    sample.tick(3.0)
    sample.leave("1/a", 1012)
    assert [text.split(" ", 2)[2] for text in drained(IndexedTrial(sample.trial))] == ["outlived edge-1, where it was"]
