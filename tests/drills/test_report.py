from tests.drills.checker import check
from tests.drills.evidence import RequiredEvidence
from tests.drills.record_index import RecordIndex
from tests.drills.records import DrillStalled
from tests.drills.report import summary, table
from tests.drills.sample_records import SampleRecords

CHAT = 7


def test_an_outage_lasts_until_every_device_had_an_acknowledgement_after_the_fault() -> None:
    sample = SampleRecords({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    sample.send("1/a", CHAT)
    sample.kill("edge-1")
    sample.send("2/a", CHAT)
    sample.advance(3.0)
    sample.enter("1/a")
    sample.send("1/a", CHAT)
    figures = summary(RecordIndex(sample.recorded), check(sample.recorded, RequiredEvidence(ending=False)))
    assert figures["faults"] == {"kill edge-1": 1}
    assert 3.0 < figures["worst_outage_seconds"]["kill edge-1"] < 3.5
    assert (figures["acknowledged"], figures["unknown"], figures["cut_off"], figures["result"]) == (3, 0, 1, "passed")


def test_a_violation_is_shown_with_its_invariant() -> None:
    sample = SampleRecords({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    sample.send("1/a", CHAT)
    sample.receive("2/a", CHAT, sample.history[CHAT][-1])
    shown = table(
        summary(RecordIndex(sample.recorded), check(sample.recorded, RequiredEvidence(acked=100, ending=False)))
    )
    assert "I2 once: 2/a twice: at " in shown
    assert "only 1 messages were acknowledged, 100 are needed" in shown
    assert shown.endswith("FAILED")


def test_a_stall_of_the_machine_is_shown() -> None:
    sample = SampleRecords({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    for seconds in (0.004, 2.5, 0.3):
        sample.records.append(DrillStalled(sample.advance(), seconds))
    figures = summary(RecordIndex(sample.recorded), check(sample.recorded, RequiredEvidence(ending=False)))
    assert figures["held_up_max_seconds"] == 2.5
