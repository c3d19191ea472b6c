"""The checker passes what is right and flags each planted violation under its own name."""

from dataclasses import replace as other

import pytest
from msgspec.structs import replace

from tests.drills.checker import ANSWER_SECONDS, CONFIRM_SECONDS, Verdict, check
from tests.drills.evidence import Demands
from tests.drills.records import Acked, Entry, Heard, Trial
from tests.drills.sample_trials import Specimen

CHAT, OTHER = 7, 8
EDGES = {"1/a": "edge-1", "1/b": "edge-2", "2/a": "edge-2", "3/a": "edge-1", "4/a": "edge-2"}
ENOUGH = Demands(ending=False)


@pytest.fixture
def talk() -> Specimen:
    """1 (with two devices), 2 and 3 have talked in the chat; 3 and 4 in the other."""
    talk = Specimen({CHAT: frozenset({1, 2, 3}), OTHER: frozenset({3, 4})}, EDGES)
    for device, chat in (("1/a", CHAT), ("2/a", CHAT), ("3/a", OTHER), ("1/b", CHAT), ("4/a", OTHER)):
        talk.say(device, chat)
    return talk


def flagged(verdict: Verdict) -> set[str]:
    return {violation.invariant for violation in verdict.violations}


def judge(talk: Specimen, demands: Demands = ENOUGH) -> set[str]:
    return flagged(check(talk.trial, demands))


def without(trial: Trial, *records: object) -> Trial:
    return replace(trial, records=[one for one in trial.records if one not in records])


def heard(talk: Specimen, device: str, text: str) -> Heard:
    on = talk.connection(device)
    found = [one for one in talk.records if isinstance(one, Heard) and (one.connection, one.text) == (on, text)]
    return found[0]


def test_a_correct_trial_passes(talk: Specimen) -> None:
    verdict = check(talk.trial, ENOUGH)
    assert (verdict.violations, verdict.doubts, verdict.exit_status) == ([], [], 0)


def test_what_was_missed_is_made_up_for_later(talk: Specimen) -> None:
    talk.leave("2/a")
    talk.say("1/a", CHAT)
    talk.enter("2/a")
    assert judge(talk) == set()


# I1


def test_acknowledged_but_not_stored(talk: Specimen) -> None:
    text = talk.utter("1/a", CHAT)
    talk.records.append(Acked(talk.tick(), talk.connection("1/a"), text, 4711))
    assert judge(talk) == {"I1 durability"}


def test_stored_twice(talk: Specimen) -> None:
    text = talk.utter("1/a", CHAT)
    for entry in (talk.store(text, 1, CHAT), talk.store(text, 1, CHAT)):
        for device in ("2/a", "3/a"):
            talk.hear(device, CHAT, entry)
    assert judge(talk) == {"I1 durability"}


def test_acknowledged_under_another_id(talk: Specimen) -> None:
    text = talk.say("1/a", CHAT)
    position, ack = next(
        (at, one) for at, one in enumerate(talk.records) if isinstance(one, Acked) and one.text == text
    )
    talk.records[position] = replace(ack, msg_id=4711)
    assert judge(talk) == {"I1 durability"}


@pytest.mark.parametrize(("unknown", "expected"), [(True, set()), (False, {"I1 durability"})])
def test_refused_and_stored(talk: Specimen, unknown: bool, expected: set[str]) -> None:
    """Only an error that leaves it open may be followed by the message."""
    text = talk.utter("1/a", CHAT)
    talk.deny("1/a", text, unknown=unknown)
    entry = talk.store(text, 1, CHAT)
    for device in ("2/a", "3/a"):
        talk.hear(device, CHAT, entry)
    assert judge(talk) == expected


def test_unanswered_and_not_stored_is_no_loss(talk: Specimen) -> None:
    talk.utter("1/a", CHAT)
    talk.leave("1/a", 1006)
    assert judge(talk) == set()


def test_a_history_that_could_not_be_read_is_a_doubt_and_no_violation(talk: Specimen) -> None:
    trial = talk.trial
    verdict = check(replace(trial, history={OTHER: trial.history[OTHER]}), ENOUGH)
    assert (verdict.violations, len(verdict.doubts), verdict.exit_status) == ([], 1, 2)


# I2


def test_a_recipient_left_out(talk: Specimen) -> None:
    text = talk.say("1/a", CHAT)
    assert flagged(check(without(talk.trial, heard(talk, "2/a", text)), ENOUGH)) == {"I2 delivery"}


def test_one_device_of_an_account_is_enough(talk: Specimen) -> None:
    text = talk.say("3/a", CHAT)
    assert flagged(check(without(talk.trial, heard(talk, "1/b", text)), ENOUGH)) == set()


def test_twice_on_a_connection(talk: Specimen) -> None:
    talk.say("1/a", CHAT)
    talk.hear("2/a", CHAT, talk.history[CHAT][-1])
    assert judge(talk) == {"I2 once"}


def test_again_after_an_ordinary_reconnect(talk: Specimen) -> None:
    talk.say("1/a", CHAT)
    talk.leave("2/a")
    talk.enter("2/a")
    talk.hear("2/a", CHAT, talk.history[CHAT][-1])
    assert judge(talk) == {"I2 once"}


def test_again_after_its_edge_was_killed_is_excused(talk: Specimen) -> None:
    talk.say("1/a", CHAT)
    talk.kill("edge-2")
    talk.enter("2/a")
    talk.hear("2/a", CHAT, talk.history[CHAT][-1])
    verdict = check(talk.trial, ENOUGH)
    assert (flagged(verdict), verdict.excused) == (set(), 1)


@pytest.mark.parametrize(
    ("works", "seconds", "expected"), [(True, 0.1, set()), (True, 10.0, {"I2 once"}), (False, 10.0, set())]
)
def test_again_after_its_edge_was_killed_just_after_it_had_left(
    talk: Specimen, works: bool, seconds: float, expected: set[str]
) -> None:
    """While nothing is committed at all, what had arrived is not, either."""
    talk.say("1/a", CHAT)
    again = talk.history[CHAT][-1]
    talk.leave("2/a")
    if works:
        talk.say("3/a", OTHER)
    talk.tick(seconds)
    talk.kill("edge-2")
    talk.enter("2/a")
    talk.hear("2/a", CHAT, again)
    assert judge(talk) == expected


def test_again_long_after_it_must_have_been_confirmed(talk: Specimen) -> None:
    talk.say("1/a", CHAT)
    talk.tick(CONFIRM_SECONDS + 1)
    talk.kill("edge-2")
    talk.enter("2/a")
    talk.hear("2/a", CHAT, talk.history[CHAT][-1])
    assert judge(talk) == {"I2 once"}


def test_again_after_another_edge_was_killed(talk: Specimen) -> None:
    talk.say("1/a", CHAT)
    talk.kill("edge-1")
    talk.leave("2/a")
    talk.enter("2/a")
    talk.hear("2/a", CHAT, talk.history[CHAT][-1])
    assert judge(talk) == {"I2 once"}


# I3


def test_heard_in_another_order(talk: Specimen) -> None:
    first, second = (heard(talk, "2/a", talk.say("1/a", CHAT)) for _ in range(2))
    records = talk.records
    one, two = records.index(first), records.index(second)
    records[one], records[two] = second, first
    assert judge(talk) == {"I3 order"}


def test_an_echo_after_a_later_word_of_somebody_else(talk: Specimen) -> None:
    echo, other = heard(talk, "1/a", talk.say("1/a", CHAT)), heard(talk, "1/a", talk.say("2/a", CHAT))
    records = talk.records
    one, two = records.index(echo), records.index(other)
    records[one], records[two] = other, echo
    assert judge(talk) == {"I3 order"}


def test_stored_against_the_order_of_one_connection(talk: Specimen) -> None:
    texts = [talk.utter("1/a", CHAT) for _ in range(2)]
    for text in reversed(texts):
        entry = talk.store(text, 1, CHAT)
        for device in ("2/a", "3/a"):
            talk.hear(device, CHAT, entry)
    assert judge(talk) == {"I3 sender's order"}


def test_stored_before_what_was_acknowledged_earlier(talk: Specimen) -> None:
    """Two devices of one account: what one says after the other's acknowledgement comes after it."""
    text = talk.say("1/a", CHAT)
    entries = talk.history[CHAT]
    stored = entries[-1]
    late = talk.utter("1/b", CHAT)
    entries[-1] = Entry(stored.index, 4711, 1, late, stored.time)
    entries.append(replace(stored, index=stored.index + 1, time=stored.time + 1))
    talk.records[:] = [
        replace(one, time=stored.time + 1) if isinstance(one, Heard) and one.text == text else one
        for one in talk.records
    ]
    for device in ("2/a", "3/a"):
        talk.leave(device)
        talk.enter(device)
    assert judge(talk) == {"I3 sender's order"}


# I4


def test_a_hole_in_the_history(talk: Specimen) -> None:
    talk.history[CHAT] = [replace(one, index=one.index + (one.index > 1)) for one in talk.history[CHAT]]
    assert judge(talk) == {"I4 dense"}


def test_a_time_that_does_not_grow(talk: Specimen) -> None:
    entry = talk.store(talk.utter("1/a", CHAT), 1, CHAT)
    talk.history[CHAT][-1] = entry = replace(entry, time=talk.history[CHAT][-2].time)
    for device in ("2/a", "3/a"):
        talk.hear(device, CHAT, entry)
    assert judge(talk) == {"I4 dense"}


# I5, I6


def test_an_outsider_hears(talk: Specimen) -> None:
    talk.hear("4/a", CHAT, talk.history[CHAT][-1])
    assert judge(talk) == {"I5 outsiders"}


def test_an_outsider_is_told_of_the_chat(talk: Specimen) -> None:
    talk.tell("4/a", CHAT)
    assert judge(talk) == {"I5 outsiders"}


def test_heard_what_nobody_said(talk: Specimen) -> None:
    talk.hear("2/a", CHAT, Entry(99, 4711, 1, "forged", 1_700_000_000_000))
    assert judge(talk) == {"I6 phantoms"}


def test_heard_in_other_words(talk: Specimen) -> None:
    text = talk.say("1/a", CHAT)
    one = heard(talk, "2/a", text)
    talk.records[talk.records.index(one)] = replace(one, text="other")
    assert judge(talk) == {"I6 phantoms"}


def test_stored_under_another_sender(talk: Specimen) -> None:
    text = talk.utter("1/a", CHAT)
    entry = talk.store(text, 2, CHAT)
    for device in ("1/a", "3/a"):
        talk.hear(device, CHAT, entry)
    assert judge(talk) == {"I6 phantoms"}


# I9


def test_no_answer_while_the_connection_lives(talk: Specimen) -> None:
    talk.utter("1/a", CHAT)
    talk.tick(ANSWER_SECONDS + 1)
    talk.leave("1/a")
    assert judge(talk) == {"I9 answers"}


def test_a_late_answer(talk: Specimen) -> None:
    text = talk.utter("1/a", CHAT)
    talk.tick(ANSWER_SECONDS + 1)
    talk.deny("1/a", text, unknown=True)
    assert judge(talk) == {"I9 answers"}


def test_two_answers(talk: Specimen) -> None:
    talk.deny("1/a", talk.say("1/a", CHAT), unknown=True)
    assert judge(talk) == {"I9 answers"}


# I10


@pytest.mark.parametrize(
    "demands",
    [
        other(ENOUGH, acked=6),
        other(ENOUGH, heard=1_000),
        other(ENOUGH, faults={"message": 1}),
    ],
)
def test_too_little_evidence_is_inconclusive(talk: Specimen, demands: Demands) -> None:
    verdict = check(talk.trial, demands)
    assert len(verdict.doubts) == 1
    assert verdict.exit_status == 2


def test_a_device_that_stays_silent_after_the_last_fault_is_inconclusive(talk: Specimen) -> None:
    talk.kill("edge-1")
    for device in EDGES:
        talk.enter(device)
    for device, chat in (("1/a", CHAT), ("1/b", CHAT), ("2/a", CHAT), ("3/a", OTHER)):
        talk.say(device, chat)
    verdict = check(talk.trial, Demands(faults={"edge-1": 1}))
    assert verdict.doubts == ["4/a was acknowledged nothing after the last fault"]
    talk.say("4/a", OTHER)
    assert check(talk.trial, Demands(faults={"edge-1": 1})).exit_status == 0
