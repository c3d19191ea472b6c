import math

import pytest

from bench.measurements.overload import Bounds, FloodResult, OverloadMeasured, recovery, violations
from bench.report.result import Measure, Point

_GOOD = OverloadMeasured(10_000, 9_500, {"message": 20.0}, 4.0, 1.0, FloodResult(100, 16, 0))


def _answers(*p50s: int) -> Measure:
    """Returns measurements in milliseconds, one for each second."""
    points = [Point(second, 100, 1_000 * p50, 2_000 * p50) for second, p50 in enumerate(p50s)]
    return Measure(1, 0, 0, 0, 0, 0, points)


def test_a_result_within_its_bounds_has_no_remark() -> None:
    assert violations(_GOOD, Bounds(), 8.0) == []


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (_GOOD._replace(goodput=8_900), "goodput fell to 0.89"),
        (_GOOD._replace(goodput=19_000), "the offered load was accepted"),
        (_GOOD._replace(longest_seconds=10.1), "waited 10.1 s"),
        (_GOOD._replace(recovery_seconds=math.inf), "latency had not recovered"),
        (_GOOD._replace(memory={"edge-1": 300.0}), "edge-1 grew by 300 MiB"),
        (_GOOD._replace(flood=FloodResult(116, 0, 0)), "1013"),
        (_GOOD._replace(flood=FloodResult(100, 15, 1)), "1013"),
    ],
)
def test_a_missed_bound_is_reported(found: OverloadMeasured, word: str) -> None:
    (violation,) = violations(found, Bounds(), 8.0)
    assert word in violation


@pytest.mark.parametrize(
    ("p50s", "seconds"),
    [
        ((9, 5, 5, 900, 900, 5, 5), 0.0),
        ((9, 5, 5, 900, 900, 400, 5), 1.0),
        ((9, 5, 5, 900, 900, 400, 400, 5), 2.0),
        ((9, 5, 5, 900, 900, 24, 5), 0.0),
        ((9, 5, 5, 900, 900, 5, 400), math.inf),
        ((9, 5, 5, 900, 900), math.inf),
    ],
)
def test_recovery_ends_when_answers_are_as_quick_as_before(p50s: tuple[int, ...], seconds: float) -> None:
    assert recovery(_answers(*p50s), calm=3, surge=2) == seconds


def test_the_first_second_is_no_baseline() -> None:
    assert recovery(_answers(900, 5, 900, 400, 5), calm=2, surge=1) == 1.0


def test_without_answers_there_is_no_recovery() -> None:
    assert recovery(None, 3, 2) == math.inf
