from bench.load.verifier import Faults
from bench.report.table import table
from tests.unit.bench.report.samples import sample


def test_figures_latencies_and_result_are_shown() -> None:
    text = table(sample(Faults(), passed=True))
    assert "12,346" in text
    assert [line.split() for line in text.splitlines() if "delivery" in line] == [
        ["delivery", "6", "2.007", "30.0", "30.0", "30.0", "30.0"]
    ]
    assert "note: rejected 1 times: <no>" in text
    assert text.splitlines()[-1].startswith("PASSED")


def test_faults_are_named() -> None:
    text = table(sample(Faults(lost=2, answered_wrongly=1), passed=False))
    assert text.splitlines()[-1] == "FAILED: lost 2, answered wrongly 1"
