"""How long what waits will wait."""

import pytest

from services.message.service.admission import QueueDelayEstimator


def estimator(*seconds: float, full: bool = True) -> QueueDelayEstimator:
    """Rounds of ten messages."""
    pace = QueueDelayEstimator()
    for each in seconds:
        pace.observe(10, each, full=full)
    return pace


def test_by_the_time_that_full_rounds_take() -> None:
    assert estimator(*[0.5] * 8).estimate(100) == pytest.approx(5.0)


def test_a_few_long_rounds_are_a_stall() -> None:
    assert estimator(*[0.5] * 7).estimate(100) == 0.0
    assert estimator(*[5.0] * 7, 0.01).estimate(100) == pytest.approx(0.1)


def test_only_the_last_rounds_count() -> None:
    assert estimator(0.01, *[0.5] * 8).estimate(100) == pytest.approx(5.0)


def test_as_long_as_everything_goes_at_once_nothing_waits() -> None:
    assert estimator(*[0.5] * 8, full=False).estimate(100) == 0.0
    pace = estimator(*[0.5] * 8)
    pace.observe(3, 0.5, full=False)
    assert pace.estimate(100) == 0.0
