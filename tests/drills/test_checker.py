"""The checker passes a correct run. It flags each kind of violation under the name of the right invariant."""

from dataclasses import replace as other
from typing import Any

import pytest
from msgspec.structs import replace

from tests.drills.checker import ANSWER_SECONDS, CONFIRM_SECONDS, LATE_ECHO_SECONDS, PONG_SECONDS, CheckResult, check
from tests.drills.evidence import RequiredEvidence
from tests.drills.records import DrillRecords, Entry, Healed, MessageAcknowledged, MessageReceived, place_id
from tests.drills.sample_records import SampleRecords

CHAT, OTHER = 7, 8
EDGES = {"1/a": "edge-1", "1/b": "edge-2", "2/a": "edge-2", "3/a": "edge-1", "4/a": "edge-2"}
ENOUGH = RequiredEvidence(ending=False)


@pytest.fixture
def sample() -> SampleRecords:
    """Accounts 1 (with two devices), 2 and 3 are members of one chat, and accounts 3 and 4 of the other.

    They have posted.
    """
    sample = SampleRecords({CHAT: frozenset({1, 2, 3}), OTHER: frozenset({3, 4})}, EDGES)
    for device, chat in (("1/a", CHAT), ("2/a", CHAT), ("3/a", OTHER), ("1/b", CHAT), ("4/a", OTHER)):
        sample.send(device, chat)
    return sample


def flagged(result: CheckResult) -> set[str]:
    return {violation.invariant for violation in result.violations}


def failures_of(sample: SampleRecords, required_evidence: RequiredEvidence = ENOUGH) -> set[str]:
    return flagged(check(sample.recorded, required_evidence))


def without(recorded: DrillRecords, *records: object) -> DrillRecords:
    return replace(recorded, records=[one for one in recorded.records if one not in records])


def received(sample: SampleRecords, device: str, text: str) -> MessageReceived:
    on = sample.connection(device)
    found = [
        one for one in sample.records if isinstance(one, MessageReceived) and (one.connection, one.text) == (on, text)
    ]
    return found[0]


def test_correct_records_pass(sample: SampleRecords) -> None:
    result = check(sample.recorded, ENOUGH)
    assert (result.violations, result.doubts, result.exit_status) == ([], [], 0)


def test_missed_messages_may_arrive_later(sample: SampleRecords) -> None:
    sample.leave("2/a")
    sample.send("1/a", CHAT)
    sample.enter("2/a")
    assert failures_of(sample) == set()


@pytest.mark.parametrize(("unread", "shift", "expected"), [
    (None, 0, set()), (OTHER, 0, set()), (None, 9, {"I1 durability", "I2 delivery", "I6 phantoms"}),
])  # fmt: skip
def test_ids_may_be_places(sample: SampleRecords, unread: int | None, shift: int, expected: set[str]) -> None:
    """An IRC client records a place instead of an id. Places without a message are phantoms."""
    recorded = sample.recorded
    places = {
        entry.msg_id: place_id(chat, entry.index + shift)
        for chat, entries in recorded.history.items()
        for entry in entries
    }
    records = [
        replace(one, msg_id=places[one.msg_id]) if isinstance(one, MessageReceived | MessageAcknowledged) else one
        for one in recorded.records
    ]
    history = {chat: entries for chat, entries in recorded.history.items() if chat != unread}
    assert flagged(check(replace(recorded, records=records, history=history), ENOUGH)) == expected


# I1


def test_acknowledged_but_not_stored(sample: SampleRecords) -> None:
    text = sample.send_unanswered("1/a", CHAT)
    sample.records.append(MessageAcknowledged(sample.advance(), sample.connection("1/a"), text, 4711))
    assert failures_of(sample) == {"I1 durability"}


def test_stored_twice(sample: SampleRecords) -> None:
    text = sample.send_unanswered("1/a", CHAT)
    for entry in (sample.store(text, 1, CHAT), sample.store(text, 1, CHAT)):
        for device in ("2/a", "3/a"):
            sample.receive(device, CHAT, entry)
    assert failures_of(sample) == {"I1 durability"}


def test_acknowledged_under_another_id(sample: SampleRecords) -> None:
    text = sample.send("1/a", CHAT)
    position, ack = next(
        (at, one) for at, one in enumerate(sample.records) if isinstance(one, MessageAcknowledged) and one.text == text
    )
    sample.records[position] = replace(ack, msg_id=4711)
    assert failures_of(sample) == {"I1 durability"}


@pytest.mark.parametrize(("unknown", "expected"), [(True, set()), (False, {"I1 durability"})])
def test_rejected_and_stored(sample: SampleRecords, unknown: bool, expected: set[str]) -> None:
    """The error may have left open whether the message is stored. Only then, it may be in the history."""
    text = sample.send_unanswered("1/a", CHAT)
    sample.reject("1/a", text, unknown=unknown)
    entry = sample.store(text, 1, CHAT)
    for device in ("2/a", "3/a"):
        sample.receive(device, CHAT, entry)
    assert failures_of(sample) == expected


def test_unanswered_and_not_stored_is_no_loss(sample: SampleRecords) -> None:
    sample.send_unanswered("1/a", CHAT)
    sample.leave("1/a", 1006)
    assert failures_of(sample) == set()


def test_a_history_that_could_not_be_read_is_a_doubt_and_no_violation(sample: SampleRecords) -> None:
    recorded = sample.recorded
    result = check(replace(recorded, history={OTHER: recorded.history[OTHER]}), ENOUGH)
    assert (result.violations, len(result.doubts), result.exit_status) == ([], 1, 2)


# I2


def test_a_recipient_left_out(sample: SampleRecords) -> None:
    text = sample.send("1/a", CHAT)
    assert flagged(check(without(sample.recorded, received(sample, "2/a", text)), ENOUGH)) == {"I2 delivery"}


def test_one_device_of_an_account_is_enough(sample: SampleRecords) -> None:
    text = sample.send("3/a", CHAT)
    assert flagged(check(without(sample.recorded, received(sample, "1/b", text)), ENOUGH)) == set()


def test_twice_on_a_connection(sample: SampleRecords) -> None:
    sample.send("1/a", CHAT)
    sample.receive("2/a", CHAT, sample.history[CHAT][-1])
    assert failures_of(sample) == {"I2 once"}


@pytest.mark.parametrize(
    ("killed", "seconds", "excused"),
    [("", 0.0, 0), ("edge-1", 0.0, 0), ("edge-2", CONFIRM_SECONDS + 1, 0), ("edge-2", 0.0, 1)],
    ids=["no edge is killed", "another edge is killed", "it must have been confirmed", "its edge is killed"],
)
def test_again_after_a_reconnect(sample: SampleRecords, killed: str, seconds: float, excused: int) -> None:
    sample.send("1/a", CHAT)
    sample.advance(seconds)
    if killed:
        sample.kill(killed)
    if killed != "edge-2":
        sample.leave("2/a")
    sample.enter("2/a")
    sample.receive("2/a", CHAT, sample.history[CHAT][-1])
    result = check(sample.recorded, ENOUGH)
    assert (flagged(result), result.excused) == (set() if excused else {"I2 once"}, excused)


@pytest.mark.parametrize(
    ("works", "seconds", "expected"), [(True, 0.1, set()), (True, 10.0, {"I2 once"}), (False, 10.0, set())]
)
def test_again_after_its_edge_was_killed_just_after_it_had_left(
    sample: SampleRecords, works: bool, seconds: float, expected: set[str]
) -> None:
    """While messages cannot be committed, read state cannot be committed either."""
    sample.send("1/a", CHAT)
    again = sample.history[CHAT][-1]
    sample.leave("2/a")
    if works:
        sample.send("3/a", OTHER)
    sample.advance(seconds)
    sample.kill("edge-2")
    sample.enter("2/a")
    sample.receive("2/a", CHAT, again)
    assert failures_of(sample) == expected


@pytest.mark.parametrize(
    ("proxied", "ponged", "seconds", "expected"),
    [
        (True, False, 0.0, set()),
        (True, True, 0.0, {"I2 once"}),
        (True, False, PONG_SECONDS + 1, {"I2 once"}),
        (False, False, 0.0, {"I2 once"}),
    ],
)
def test_again_after_its_client_left_a_proxy(
    sample: SampleRecords, proxied: bool, ponged: bool, seconds: float, expected: set[str]
) -> None:
    """Behind a proxy, only a pong proves that a message has arrived.

    So a repeated delivery is excused if the client left before it answered the ping after the message.
    """
    sample.send("1/a", CHAT)
    pong = sample.advance(seconds)
    sample.leave("2/a", ponged=pong if ponged else 0.0)
    sample.enter("2/a")
    sample.receive("2/a", CHAT, sample.history[CHAT][-1])
    assert flagged(check(replace(sample.recorded, proxied=proxied), ENOUGH)) == expected


# I3


def test_received_in_another_order(sample: SampleRecords) -> None:
    first, second = (received(sample, "2/a", sample.send("1/a", CHAT)) for _ in range(2))
    records = sample.records
    one, two = records.index(first), records.index(second)
    records[one], records[two] = second, first
    assert failures_of(sample) == {"I3 order"}


def test_an_echo_after_a_later_message_of_another_sender(sample: SampleRecords) -> None:
    echo, other = received(sample, "1/a", sample.send("1/a", CHAT)), received(sample, "1/a", sample.send("2/a", CHAT))
    records = sample.records
    one, two = records.index(echo), records.index(other)
    records[one], records[two] = other, echo
    assert failures_of(sample) == {"I3 order"}


def test_stored_against_the_order_of_one_connection(sample: SampleRecords) -> None:
    texts = [sample.send_unanswered("1/a", CHAT) for _ in range(2)]
    for text in reversed(texts):
        entry = sample.store(text, 1, CHAT)
        for device in ("2/a", "3/a"):
            sample.receive(device, CHAT, entry)
    assert failures_of(sample) == {"I3 sender's order"}


def test_stored_before_what_was_acknowledged_earlier(sample: SampleRecords) -> None:
    """One device of an account sends a message after another device's message was acknowledged.

    The later message must have the greater index.
    """
    text = sample.send("1/a", CHAT)
    entries = sample.history[CHAT]
    stored = entries[-1]
    late = sample.send_unanswered("1/b", CHAT)
    entries[-1] = Entry(stored.index, 4711, 1, late, stored.time)
    entries.append(replace(stored, index=stored.index + 1, time=stored.time + 1))
    sample.records[:] = [
        replace(one, time=stored.time + 1) if isinstance(one, MessageReceived) and one.text == text else one
        for one in sample.records
    ]
    for device in ("2/a", "3/a"):
        sample.leave(device)
        sample.enter(device)
    assert failures_of(sample) == {"I3 sender's order"}


# I4


def test_a_hole_in_the_history(sample: SampleRecords) -> None:
    sample.history[CHAT] = [replace(one, index=one.index + (one.index > 1)) for one in sample.history[CHAT]]
    assert failures_of(sample) == {"I4 dense"}


def test_a_time_that_does_not_grow(sample: SampleRecords) -> None:
    entry = sample.store(sample.send_unanswered("1/a", CHAT), 1, CHAT)
    sample.history[CHAT][-1] = entry = replace(entry, time=sample.history[CHAT][-2].time)
    for device in ("2/a", "3/a"):
        sample.receive(device, CHAT, entry)
    assert failures_of(sample) == {"I4 dense"}


# I5, I6


def test_an_outsider_receives_a_message(sample: SampleRecords) -> None:
    sample.receive("4/a", CHAT, sample.history[CHAT][-1])
    assert failures_of(sample) == {"I5 outsiders"}


def test_a_chat_is_announced_to_an_outsider(sample: SampleRecords) -> None:
    sample.announce_chat("4/a", CHAT)
    assert failures_of(sample) == {"I5 outsiders"}


def test_a_received_message_that_was_never_sent(sample: SampleRecords) -> None:
    sample.receive("2/a", CHAT, Entry(99, 4711, 1, "forged", 1_700_000_000_000))
    assert failures_of(sample) == {"I6 phantoms"}


@pytest.mark.parametrize("forged", [{"text": "other"}, {"sender": 99}, {"msg_id": 4711}, {"time": 1}])
def test_received_unlike_it_was_stored(sample: SampleRecords, forged: dict[str, Any]) -> None:
    text = sample.send("1/a", CHAT)
    one = received(sample, "2/a", text)
    sample.records[sample.records.index(one)] = replace(one, **forged)
    assert "I6 phantoms" in failures_of(sample)


def test_stored_under_another_sender(sample: SampleRecords) -> None:
    text = sample.send_unanswered("1/a", CHAT)
    entry = sample.store(text, 2, CHAT)
    for device in ("1/a", "3/a"):
        sample.receive(device, CHAT, entry)
    assert failures_of(sample) == {"I6 phantoms"}


# I7


def test_presence_names_the_edges_of_all_open_connections(sample: SampleRecords) -> None:
    """Presence may also name edges that an account has left."""
    sample.leave("2/a")
    edges = {1: frozenset({"edge-1", "edge-2"}), 3: frozenset({"edge-1", "edge-2"}), 4: frozenset({"edge-2"})}
    assert flagged(check(replace(sample.recorded, presence=edges), ENOUGH)) == set()


@pytest.mark.parametrize("edges", [{}, {1: frozenset({"edge-1"}), 3: frozenset({"edge-1"}), 4: frozenset({"edge-2"})}])
def test_a_connection_that_presence_does_not_name_is_flagged(
    sample: SampleRecords, edges: dict[int, frozenset[str]]
) -> None:
    sample.leave("2/a")
    assert flagged(check(replace(sample.recorded, presence=edges), ENOUGH)) == {"I7 presence"}


# I9


def test_no_answer_while_the_connection_lives(sample: SampleRecords) -> None:
    sample.send_unanswered("1/a", CHAT)
    sample.advance(ANSWER_SECONDS + 1)
    sample.leave("1/a")
    assert failures_of(sample) == {"I9 answers"}


def test_a_late_answer(sample: SampleRecords) -> None:
    text = sample.send_unanswered("1/a", CHAT)
    sample.advance(ANSWER_SECONDS + 1)
    sample.reject("1/a", text, unknown=True)
    assert failures_of(sample) == {"I9 answers"}


def test_two_answers(sample: SampleRecords) -> None:
    sample.reject("1/a", sample.send("1/a", CHAT), unknown=True)
    assert failures_of(sample) == {"I9 answers"}


# Outages


@pytest.mark.parametrize(("waited", "failed"), [(LATE_ECHO_SECONDS / 2, {"I3 order"}), (LATE_ECHO_SECONDS + 1, set())])
def test_an_echo_overtakes_missed_messages_only_late(sample: SampleRecords, waited: float, failed: set[str]) -> None:
    """Device 2/a gets the message of 3/a after its own message, although its own message has the greater index."""
    text = sample.send_unanswered("2/a", CHAT)
    sample.advance(waited)
    sample.leave("1/a")
    missed = sample.store(sample.send_unanswered("3/a", CHAT), 3, CHAT)
    sample.acknowledge("2/a", text, CHAT)
    sample.receive("2/a", CHAT, missed)
    assert failures_of(sample) & {"I3 order"} == failed


@pytest.mark.parametrize(("later", "failed"), [(0.1, set()), (2.0, {"I3 order"})])
def test_a_younger_echo_overtakes_missed_messages_with_a_late_one_of_its_batch(
    sample: SampleRecords, later: float, failed: set[str]
) -> None:
    first = sample.send_unanswered("2/a", CHAT)
    sample.advance(LATE_ECHO_SECONDS)
    second = sample.send_unanswered("2/a", CHAT)
    sample.leave("1/a")
    missed = sample.store(sample.send_unanswered("3/a", CHAT), 3, CHAT)
    sample.acknowledge("2/a", first, CHAT)
    sample.advance(later)
    sample.acknowledge("2/a", second, CHAT)
    sample.receive("2/a", CHAT, missed)
    assert failures_of(sample) & {"I3 order"} == failed


@pytest.mark.parametrize(
    ("edges", "target", "excused"),
    [
        ({"edge-2"}, "edge-2~nats", 1),
        (set(), "edge-2~nats", 1),
        ({"edge-1"}, "edge-1~nats", 0),
        ({"edge-1", "edge-2"}, "nats", 0),
    ],
)
def test_only_the_edge_that_was_cut_off_excuses_a_repetition(
    sample: SampleRecords, edges: set[str], target: str, excused: int
) -> None:
    began, text = sample.advance(), sample.send("1/a", CHAT)
    sample.leave("2/a")
    sample.enter("2/a")
    sample.receive("2/a", CHAT, sample.history[CHAT][-1])
    sample.records.append(Healed(sample.advance(), began, target, frozenset(edges)))
    result = check(sample.recorded, ENOUGH)
    assert (result.excused, flagged(result)) == (excused, set() if excused else {"I2 once"}), text


# I10


@pytest.mark.parametrize(
    "required_evidence", [other(ENOUGH, acked=6), other(ENOUGH, received=1_000), other(ENOUGH, faults={"message": 1})]
)
def test_too_little_evidence_is_inconclusive(sample: SampleRecords, required_evidence: RequiredEvidence) -> None:
    result = check(sample.recorded, required_evidence)
    assert len(result.doubts) == 1
    assert result.exit_status == 2


def test_a_device_that_stays_silent_after_the_last_fault_is_inconclusive(sample: SampleRecords) -> None:
    sample.kill("edge-1")
    for device in EDGES:
        sample.enter(device)
    for device, chat in (("1/a", CHAT), ("1/b", CHAT), ("2/a", CHAT), ("3/a", OTHER)):
        sample.send(device, chat)
    result = check(sample.recorded, RequiredEvidence(faults={"edge-1": 1}))
    assert result.doubts == ["4/a was acknowledged nothing after the last fault"]
    sample.send("4/a", OTHER)
    assert check(sample.recorded, RequiredEvidence(faults={"edge-1": 1})).exit_status == 0
