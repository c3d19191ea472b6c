"""The service estimates how long requests wait in its queue."""

import pytest

from services.message.service.posting import QueueDelayEstimator


def estimator(*seconds: float, full: bool = True) -> QueueDelayEstimator:
    """Returns an estimator after cycles with ten messages each."""
    delays = QueueDelayEstimator()
    for each in seconds:
        delays.observe(10, each, full=full)
    return delays


def test_the_estimate_is_the_duration_of_full_cycles() -> None:
    assert estimator(*[0.5] * 8).estimate(100) == pytest.approx(5.0)


def test_a_few_slow_cycles_are_a_stall() -> None:
    assert estimator(*[0.5] * 7).estimate(100) == 0.0
    assert estimator(*[5.0] * 7, 0.01).estimate(100) == pytest.approx(0.1)


def test_only_the_last_cycles_count() -> None:
    assert estimator(0.01, *[0.5] * 8).estimate(100) == pytest.approx(5.0)


def test_there_is_no_delay_unless_all_cycles_are_full() -> None:
    assert estimator(*[0.5] * 8, full=False).estimate(100) == 0.0
    delays = estimator(*[0.5] * 8)
    delays.observe(3, 0.5, full=False)
    assert delays.estimate(100) == 0.0
