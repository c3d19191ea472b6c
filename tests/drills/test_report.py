"""What a drill tells about a trial."""

from tests.drills.checker import check
from tests.drills.evidence import Demands
from tests.drills.indexed_trial import Facts
from tests.drills.records import Held
from tests.drills.report import summary, table
from tests.drills.sample_trials import Specimen

CHAT = 7


def test_an_outage_lasts_until_everybody_was_acknowledged_something_said_after_the_fault() -> None:
    talk = Specimen({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    talk.say("1/a", CHAT)
    talk.kill("edge-1")
    talk.say("2/a", CHAT)
    talk.tick(3.0)
    talk.enter("1/a")
    talk.say("1/a", CHAT)
    figures = summary(Facts(talk.trial), check(talk.trial, Demands(ending=False)))
    assert figures["faults"] == {"kill edge-1": 1}
    assert 3.0 < figures["worst_outage_seconds"]["kill edge-1"] < 3.5
    assert (figures["acknowledged"], figures["unknown"], figures["cut_off"], figures["verdict"]) == (3, 0, 1, "proven")


def test_a_violation_is_shown_with_its_invariant() -> None:
    talk = Specimen({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    talk.say("1/a", CHAT)
    talk.hear("2/a", CHAT, talk.history[CHAT][-1])
    shown = table(summary(Facts(talk.trial), check(talk.trial, Demands(acked=100, ending=False))))
    assert "I2 once: 2/a got text-1 twice" in shown
    assert "only 1 messages were acknowledged, 100 are needed" in shown
    assert shown.endswith("VIOLATED")


def test_a_machine_that_held_the_drill_up_shows() -> None:
    talk = Specimen({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    for seconds in (0.004, 2.5, 0.3):
        talk.records.append(Held(talk.tick(), seconds))
    figures = summary(Facts(talk.trial), check(talk.trial, Demands(ending=False)))
    assert figures["held_up_max_seconds"] == 2.5
