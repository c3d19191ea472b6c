from bench.load.histogram import Histogram
from bench.load.protocol import Totals
from bench.load.verifier import Faults
from bench.report.result import add_up, notes


def _histogram(*values: int) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def _totals(cores: float = 0.1, late: int = 1, taken: int = 100) -> Totals:
    series = {"delivery": {0: _histogram(1_000, 2_000), 1: _histogram(3_000)}, "lateness": {0: _histogram(late)}}
    return Totals(Faults(lost=1), series, {"acknowledged": taken}, {"slow down": 2}, cores)


def test_totals_add_up() -> None:
    totals = add_up([_totals(), _totals()])
    assert totals.faults.lost == 2
    assert totals.counts["acknowledged"] == 200
    assert totals.rejections == {"slow down": 4}
    assert totals.generator == [0.1, 0.1]
    delivery = totals.measures["delivery"]
    assert (delivery.count, delivery.highest) == (6, 3_000)
    assert [(point.second, point.count) for point in delivery.points] == [(0, 4), (1, 2)]


def test_a_good_run_has_no_remark() -> None:
    totals = add_up([_totals()])
    totals.rejections.clear()
    assert notes(totals, 1, offered=100) == []


def test_a_busy_generator_is_noted() -> None:
    assert any("the generator was the limit" in one for one in notes(add_up([_totals(cores=0.95)]), 1))


def test_other_load_on_the_machine_is_noted() -> None:
    totals = add_up([_totals()])
    assert any("others used 0.5 cores" in one for one in notes(totals, 1, others=0.5))
    assert not any("others" in one for one in [*notes(totals, 1, others=0.1), *notes(totals, 1)])


def test_a_late_generator_is_noted() -> None:
    assert any("sent late" in one for one in notes(add_up([_totals(late=2_000)]), 1, offered=100))


def test_a_rate_that_was_not_reached_is_noted() -> None:
    assert any("overloaded" in one for one in notes(add_up([_totals(taken=90)]), 1, offered=100))


def test_error_replies_are_noted() -> None:
    assert "rejected 2 times: slow down" in notes(add_up([_totals()]), 1)
