"""People who are not served, and edges that end badly, are found; what is in order is not."""

import pytest

from tests.drills.indexed_trial import Facts
from tests.drills.records import Ended, Fault, Tried
from tests.drills.rolling import GRACE_SECONDS, drained, figures, longest_waits, served
from tests.drills.sample_trials import Specimen

CHAT = 7
BOUND = 5.0


@pytest.fixture
def talk() -> Specimen:
    talk = Specimen({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    talk.say("1/a", CHAT)
    talk.say("2/a", CHAT)
    return talk


def dial(talk: Specimen, device: str) -> None:
    talk.records.append(Tried(talk.tick(), device))


def tell_to_end(talk: Specimen) -> None:
    talk.records.append(Fault(talk.tick(), "edge-1", "end"))


def end(talk: Specimen, status: int = 0) -> None:
    talk.records.append(Ended(talk.tick(), "edge-1", status))


def unserved(talk: Specimen) -> list[str]:
    return [text.split()[0] for text in served(Facts(talk.trial), BOUND)]


# Service


def test_who_gets_an_answer_to_everything_is_served(talk: Specimen) -> None:
    assert unserved(talk) == []
    assert all(0 < wait.seconds < 0.1 for wait in longest_waits(Facts(talk.trial)).values())


def test_an_answer_that_takes_too_long_is_no_service(talk: Specimen) -> None:
    text = talk.utter("1/a", CHAT)
    talk.tick(BOUND + 1)
    talk.acknowledge("1/a", text, CHAT)
    assert unserved(talk) == ["1/a"]


def test_refusals_last_until_something_is_acknowledged(talk: Specimen) -> None:
    for _ in range(3):
        talk.deny("1/a", talk.utter("1/a", CHAT), unknown=False)
        talk.tick(BOUND / 2)
    talk.say("1/a", CHAT)
    assert unserved(talk) == ["1/a"]


def test_a_refusal_that_is_over_soon_is_none(talk: Specimen) -> None:
    talk.deny("1/a", talk.utter("1/a", CHAT), unknown=False)
    talk.tick(BOUND / 2)
    talk.say("1/a", CHAT)
    assert unserved(talk) == []


def test_the_way_back_lasts_from_the_first_attempt_to_the_login(talk: Specimen) -> None:
    talk.leave("1/a", 1012)
    dial(talk, "1/a")
    talk.tick(BOUND / 2)
    dial(talk, "1/a")
    talk.tick(BOUND / 2)
    talk.enter("1/a")
    assert unserved(talk) == ["1/a"]
    assert BOUND < longest_waits(Facts(talk.trial))["1/a"].seconds < BOUND + 0.1


def test_who_never_comes_back_waits_until_the_end(talk: Specimen) -> None:
    talk.leave("1/a", 1012)
    dial(talk, "1/a")
    talk.tick(BOUND)
    talk.say("2/a", CHAT)
    assert unserved(talk) == ["1/a"]


def test_time_away_by_one_s_own_wish_is_no_wait(talk: Specimen) -> None:
    talk.utter("1/a", CHAT)
    talk.leave("1/a")
    talk.tick(2 * BOUND)
    dial(talk, "1/a")
    talk.enter("1/a")
    assert unserved(talk) == []


def test_what_a_broken_connection_left_unanswered_counts(talk: Specimen) -> None:
    talk.utter("1/a", CHAT)
    talk.tick(BOUND)
    talk.leave("1/a", 1006)
    dial(talk, "1/a")
    talk.enter("1/a")
    assert unserved(talk) == ["1/a"]


# Ends


def test_an_end_in_order(talk: Specimen) -> None:
    tell_to_end(talk)
    talk.leave("1/a", 1012)
    end(talk)
    talk.say("2/a", CHAT)
    facts = Facts(talk.trial)
    assert list(drained(facts)) == []
    assert figures(facts)["sent_elsewhere"] == 1
    assert 0 < figures(facts)["longest_end_seconds"] < 0.1


def test_clients_that_are_just_dropped_were_not_drained(talk: Specimen) -> None:
    tell_to_end(talk)
    talk.leave("1/a", 1006)
    end(talk)
    assert [text.split(" was ")[1] for text in drained(Facts(talk.trial))] == ["closed with 1006 when edge-1 ended"]


def test_what_was_over_before_does_not_count(talk: Specimen) -> None:
    talk.leave("1/a", 1006)
    tell_to_end(talk)
    end(talk)
    assert list(drained(Facts(talk.trial))) == []


@pytest.mark.parametrize(("seconds", "status"), [(GRACE_SECONDS, 0), (0.0, 1), (0.0, -9)])
def test_an_end_that_takes_too_long_or_fails(talk: Specimen, seconds: float, status: int) -> None:
    tell_to_end(talk)
    talk.leave("1/a", 1012)
    talk.tick(seconds)
    end(talk, status)
    assert [text.split(",")[0] for text in drained(Facts(talk.trial))] == ["edge-1 was told to end"]


def test_an_end_that_never_comes(talk: Specimen) -> None:
    tell_to_end(talk)
    assert list(drained(Facts(talk.trial))) == [
        "edge-1 was told to end, and did not at all",
        f"connection {talk.connection('1/a')} outlived edge-1, where it was",
    ]


def test_a_connection_that_outlives_its_edge(talk: Specimen) -> None:
    tell_to_end(talk)
    end(talk)
    talk.tick(3.0)
    talk.leave("1/a", 1012)
    assert [text.split(" ", 2)[2] for text in drained(Facts(talk.trial))] == ["outlived edge-1, where it was"]
